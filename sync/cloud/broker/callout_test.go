package broker

import (
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Only what a server signs is a request.
func TestMistakenCallout(t *testing.T) {
	seed, err := NewCalloutSeed()
	if err != nil {
		t.Fatal(err)
	}
	key, err := calloutKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	byAccount, err := jwt.NewAuthorizationRequestClaims(public).Encode(key)
	if err == nil {
		t.Errorf("an account can sign a request: %s", byAccount)
	}
	claims, err := jwt.NewUserClaims(public).Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	c := &callout{key: key, session: sessionKey, account: DefaultAccount}
	for i, text := range []string{"", "x", "eyJ.e30.x", claims, strings.Repeat("a.", 1<<16)} {
		c.answer(&nats.Msg{Data: []byte(text)})
		if got := c.mistaken.Load(); got != uint64(i+1) {
			t.Errorf("%.40q: counted %d, want %d", text, got, i+1)
		}
	}
	if c.granted.Load() != 0 || c.refused.Load() != 0 {
		t.Errorf("got %d granted, %d refused", c.granted.Load(), c.refused.Load())
	}
}

func TestCalloutConfigKeepsTheSeed(t *testing.T) {
	seed, err := NewCalloutSeed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := CalloutConfig(seed, DefaultAccount, "cloud")
	if err != nil || strings.Contains(text, seed) {
		t.Errorf("got %v, with the seed: %v", err, strings.Contains(text, seed))
	}
	if _, err := CalloutConfig("SAxx", DefaultAccount, "cloud"); err == nil || strings.Contains(err.Error(), "SAxx") {
		t.Errorf("a bad seed: got %v", err)
	}
}
