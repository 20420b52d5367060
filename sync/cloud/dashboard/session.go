package dashboard

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"signalbox/internal/jsonapi"
	"signalbox/sync/cloud/people"
)

func (d *Dashboard) getSession(c *call) (Session, error) {
	s := Session{OIDC: d.cfg.People.HasOIDC(), Version: d.cfg.Version, Node: d.cfg.Node}
	if c.who.Name != "" {
		s.SignedIn, s.Name, s.Role, s.Via = true, c.who.Name, c.who.Role, c.who.Via
		return s, nil
	}
	if d.claimed.Load() {
		return s, nil
	}
	needed, err := d.cfg.People.NeedsSetup(c.r.Context())
	if err != nil {
		return s, err
	}
	d.claimed.Store(!needed)
	s.SetupNeeded = needed
	return s, nil
}

func (d *Dashboard) signIn(c *call, in *SignIn) (Session, error) {
	ctx, cancel := c.change()
	defer cancel()
	secret, who, err := d.cfg.People.SignIn(ctx, c.source, in.Name, in.Password)
	return d.begin(c, secret, who, err)
}

func (d *Dashboard) signInByLink(c *call, in *SignInByLink) (Session, error) {
	ctx, cancel := c.change()
	defer cancel()
	secret, who, err := d.cfg.People.Redeem(ctx, c.source, in.Code, in.Name, in.Password)
	return d.begin(c, secret, who, err)
}

func (d *Dashboard) begin(c *call, secret string, who people.Person, err error) (Session, error) {
	if err != nil {
		return Session{}, err
	}
	d.setCookie(c, secret)
	c.who = who
	return d.getSession(c)
}

func (d *Dashboard) signOut(c *call) error {
	if c.local {
		return nil
	}
	d.clearCookie(c)
	if c.secret == "" || c.who.Via == people.ViaKey {
		return nil
	}
	ctx, cancel := c.change()
	defer cancel()
	if err := d.cfg.People.SignOut(ctx, c.secret); err != nil {
		return err
	}
	return d.note(ctx, c, "sign-out", "", "")
}

// The attempt's cookie: the provider's page sends the browser back from another
// site, so that it must be Lax.
const (
	hostAttempt  = "__Host-signalbox-cloud-oidc"
	plainAttempt = "signalbox-cloud-oidc"
	attemptTTL   = 10 * time.Minute
)

func (d *Dashboard) startOIDC(c *call) error {
	ctx, cancel := context.WithTimeout(c.r.Context(), changeTimeout)
	defer cancel()
	attempt, to, err := d.cfg.People.StartOIDC(ctx, d.url(c)+"/v1/signin/oidc/done")
	if err != nil {
		return providerFault(err)
	}
	http.SetCookie(c.w, d.newCookie(c, hostAttempt, plainAttempt, d.seal(attempt), attemptTTL, http.SameSiteLaxMode))
	redirect(c, to)
	return nil
}

func (d *Dashboard) finishOIDC(c *call) error {
	var attempt people.Attempt
	for _, name := range []string{hostAttempt, plainAttempt} {
		if cookie, err := c.r.Cookie(name); err == nil && d.unseal(cookie.Value, &attempt) {
			break
		}
	}
	http.SetCookie(c.w, d.newCookie(c, hostAttempt, plainAttempt, "", -1, http.SameSiteLaxMode))
	query := c.r.URL.Query()
	ctx, cancel := c.change()
	defer cancel()
	secret, _, err := d.cfg.People.FinishOIDC(ctx, c.source, attempt, query.Get("state"), query.Get("code"))
	if err != nil {
		return providerFault(err)
	}
	d.setCookie(c, secret)
	redirect(c, "/")
	return nil
}

// providerFault tells people that it is the provider that does not answer.
func providerFault(err error) error {
	if f := new(Dashboard).faultOf(err); f != nil {
		return f
	}
	return jsonapi.Later(http.StatusServiceUnavailable, "provider_unavailable", 10*time.Second, "%v; sign in with a password, or try again", err)
}

func redirect(c *call, to string) {
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.Header().Set("Location", to)
	c.w.WriteHeader(http.StatusFound)
}

// url is where the browser reached us, or as configured.
func (d *Dashboard) url(c *call) string {
	if d.cfg.URL != "" || c.local {
		return d.cfg.URL
	}
	if d.cfg.Secure(c.r) {
		return "https://" + c.r.Host
	}
	return "http://" + c.r.Host
}

func (d *Dashboard) sealer() cipher.AEAD {
	block, err := aes.NewCipher(d.cfg.Key)
	if err != nil {
		panic(err) // New has checked the length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// seal makes a value that only a node can read: it holds the verifier.
func (d *Dashboard) seal(a people.Attempt) string {
	text, _ := json.Marshal(a) // texts and a time can be encoded
	return base64.RawURLEncoding.EncodeToString(d.sealer().Seal(nil, nil, text, []byte(hostAttempt)))
}

func (d *Dashboard) unseal(value string, a *people.Attempt) bool {
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return false
	}
	text, err := d.sealer().Open(nil, nil, sealed, []byte(hostAttempt))
	return err == nil && json.Unmarshal(text, a) == nil
}
