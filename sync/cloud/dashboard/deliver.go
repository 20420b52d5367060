package dashboard

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"signalbox/internal/order"
)

// Headers of a delivery. The signature is t=UNIX,v1=HEX: HMAC-SHA256, keyed
// with the webhook's secret, of the time, a dot, and the body.
const (
	HeaderSignature = "Signalbox-Signature"
	HeaderDelivery  = "Signalbox-Delivery"
)

const maxAnswerBytes = 64 << 10

// event is one thing to tell, with what is noted when it has been told.
type event struct {
	HookEvent
	key  string
	told Health // "" when it is over
}

// pending is what a webhook has not been told, the oldest problems first.
func pending(id string, w hook, problems map[string]opened, now time.Time) []event {
	var events []event
	for key, o := range problems {
		want := o.Health
		if !o.Ended.IsZero() || rank(want) > rank(w.Health) {
			want = ""
		}
		if o.Told[id] == want {
			continue
		}
		e := event{key: key, told: want, HookEvent: HookEvent{
			Problem: o.ID, Site: o.Site, Title: o.Title, Box: o.Box, Kind: o.Kind, State: string(want),
			Text: o.Text, Advice: o.Advice, Since: o.Since, At: now.UTC().Truncate(time.Second),
		}}
		if want == "" {
			e.State, e.Advice = "over", ""
		}
		e.ID = eventID(e.HookEvent)
		events = append(events, e)
	}
	order.By(events, func(a, b event) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.key, b.key))
	})
	return events[:min(len(events), batchMost)]
}

// eventID is the same whenever and by whichever node the event is told, so that
// a receiver can tell a repetition.
func eventID(e HookEvent) string {
	sum := sha256.Sum256([]byte(e.Problem + "\x00" + strconv.FormatInt(e.Since.Unix(), 10) + "\x00" + e.State))
	return hex.EncodeToString(sum[:12])
}

// Signature is what HeaderSignature holds for a body sent at a time.
func Signature(secret string, at time.Time, body []byte) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return "t=" + stamp + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// deliver posts events and gives the status; any but 2xx is an error too.
func (h *hooks) deliver(ctx context.Context, w hook, events []event) (status int, err error) {
	call := HookCall{At: time.Now().UTC().Truncate(time.Second), Cloud: h.cfg.URL, Events: make([]HookEvent, len(events))}
	ids := sha256.New()
	for i, e := range events {
		call.Events[i] = e.HookEvent
		ids.Write([]byte(e.ID))
	}
	call.ID = hex.EncodeToString(ids.Sum(nil)[:12])
	body, err := json.Marshal(call)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Signalbox/"+cmp.Or(h.cfg.Version, "0"))
	r.Header.Set(HeaderDelivery, call.ID)
	r.Header.Set(HeaderSignature, Signature(w.Secret, call.At, body))
	client := h.client()
	defer client.CloseIdleConnections()
	answer, err := client.Do(r)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the URL: it goes to the log, and paths of chat services are secrets
		}
		return 0, err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswerBytes)) // only its status counts
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return answer.StatusCode, fmt.Errorf("the receiver answered %s", answer.Status)
	}
	return answer.StatusCode, nil
}

// client goes to no address that somebody could reach only from here, and
// follows nobody elsewhere.
func (h *hooks) client() *http.Client {
	dialer := &net.Dialer{Timeout: tellWithin, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return h.mayReach(at.Addr())
	}}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: tellWithin, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

var errLocalTarget = errors.New("webhooks may not reach loopback, link-local or multicast addresses; give the receiver's address on the network")

// nat64 holds IPv4 addresses (RFC 6052 §2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func (h *hooks) mayReach(addr netip.Addr) error {
	if h.cfg.AllowLocalWebhooks {
		return nil
	}
	addr = addr.Unmap()
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() {
		return fmt.Errorf("%v: %w", addr, errLocalTarget)
	}
	return nil
}
