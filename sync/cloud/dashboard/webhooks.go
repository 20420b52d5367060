package dashboard

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"signalbox/internal/jsonapi"
	"signalbox/internal/order"
)

const (
	maxHooks    = 32
	maxURLBytes = 2000
	secretMark  = "sbw-"
)

// Webhook is where problems are told.
type Webhook struct {
	ID      string    `json:"id"`
	URL     string    `json:"url"`
	Health  Health    `json:"health"` // red: only what is red; amber: both
	By      string    `json:"by"`
	Created time.Time `json:"created"`
}

// WebhookView is a webhook and how its deliveries go.
type WebhookView struct {
	Webhook
	LastOK  time.Time `json:"last_ok,omitzero"` // the last that arrived
	Failing time.Time `json:"failing,omitzero"` // since when none has
	Error   string    `json:"error,omitempty"`
	Next    time.Time `json:"next,omitzero"` // when it is tried again
}

// WebhookList are all webhooks, the oldest first.
type WebhookList struct {
	Webhooks []WebhookView `json:"webhooks"`
}

// NewWebhook is one to make.
type NewWebhook struct {
	URL    string `json:"url"`
	Health Health `json:"health,omitempty"` // red or amber; amber unless given
}

// WebhookMade has the secret that deliveries are signed with, shown this once.
type WebhookMade struct {
	Webhook
	Secret string `json:"secret"`
}

// WebhookTest is what came of a trial.
type WebhookTest struct {
	OK     bool   `json:"ok"`
	Status int    `json:"status,omitempty"` // of HTTP
	DurMS  int64  `json:"dur_ms"`
	Error  string `json:"error,omitempty"`
}

// HookCall is the body of a delivery.
type HookCall struct {
	ID     string      `json:"id"` // made of the events' ids; also in the header Signalbox-Delivery
	At     time.Time   `json:"at"`
	Cloud  string      `json:"cloud,omitempty"`
	Events []HookEvent `json:"events"` // 1 to 100
}

// HookEvent is a problem that has begun, changed or ended.
type HookEvent struct {
	ID      string    `json:"id"` // the same in every repetition: tell one by it
	Problem string    `json:"problem"`
	State   string    `json:"state"` // red, amber, over, or test
	Site    string    `json:"site"`
	Title   string    `json:"title,omitempty"`
	Box     string    `json:"box,omitempty"`
	Kind    string    `json:"kind"`
	Text    string    `json:"text"`
	Advice  string    `json:"advice,omitempty"`
	Since   time.Time `json:"since"`
	At      time.Time `json:"at"`
}

func (d *Dashboard) listWebhooks(*call) (WebhookList, error) {
	list := WebhookList{Webhooks: []WebhookView{}}
	for id, w := range d.hooks.all.list() {
		t, _ := d.hooks.trials.get(id)
		list.Webhooks = append(list.Webhooks, WebhookView{Webhook: w.Webhook, LastOK: t.LastOK, Failing: t.Failed, Error: t.Error, Next: t.Next})
	}
	order.By(list.Webhooks, func(a, b WebhookView) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return list, nil
}

func (d *Dashboard) addWebhook(c *call, in *NewWebhook) (WebhookMade, error) {
	if err := d.checkTarget(in.URL); err != nil {
		return WebhookMade{}, err
	}
	in.Health = cmp.Or(in.Health, Amber)
	if in.Health != Red && in.Health != Amber {
		return WebhookMade{}, jsonapi.Wrong("health", "health: got %.20q, want red or amber", in.Health)
	}
	if d.hooks.all.count() >= maxHooks {
		return WebhookMade{}, jsonapi.Refuse(http.StatusConflict, "limit", "there are %d webhooks, the most there may be; remove some", maxHooks)
	}
	var random [40]byte
	_, _ = rand.Read(random[:]) // never fails
	made := WebhookMade{
		Webhook: Webhook{ID: "w-" + hex.EncodeToString(random[:8]), URL: in.URL, Health: in.Health, By: c.who.Name, Created: time.Now().UTC().Truncate(time.Second)},
		Secret:  secretMark + hex.EncodeToString(random[8:]),
	}
	ctx, cancel := c.change()
	defer cancel()
	if err := d.hooks.all.put(ctx, made.ID, hook(made)); err != nil {
		return WebhookMade{}, err
	}
	return made, d.note(ctx, c, "webhook-added", made.ID, hostOf(in.URL))
}

// checkTarget refuses what no delivery could reach, or may.
func (d *Dashboard) checkTarget(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || len(text) > maxURLBytes:
		return jsonapi.Wrong("url", "url: want https://… or http://… of at most %d bytes", maxURLBytes)
	case u.User != nil:
		return jsonapi.Wrong("url", "url: has a user name; everybody who may see webhooks would see it. Check the signature instead")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := d.hooks.mayReach(addr); err != nil {
			return jsonapi.Wrong("url", "url: %v", err)
		}
	}
	return nil
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host // paths of chat services are secrets
}

func (d *Dashboard) webhook(c *call) (string, hook, error) {
	id := c.r.PathValue("id")
	w, ok := d.hooks.all.get(id)
	if !ok {
		return "", hook{}, jsonapi.Refuse(http.StatusNotFound, "webhook_not_found", "there is no webhook %.80q; see GET /v1/webhooks", id)
	}
	return id, w, nil
}

func (d *Dashboard) removeWebhook(c *call) error {
	id, w, err := d.webhook(c)
	if err != nil {
		return err
	}
	ctx, cancel := c.change()
	defer cancel()
	if err := d.hooks.all.remove(ctx, id); err != nil {
		return err
	}
	if err := d.hooks.trials.remove(ctx, id); err != nil {
		return err
	}
	return d.note(ctx, c, "webhook-removed", id, hostOf(w.URL))
}

// testWebhook delivers a trial from this node, now.
func (d *Dashboard) testWebhook(c *call, _ *NewToken) (WebhookTest, error) {
	id, w, err := d.webhook(c)
	if err != nil {
		return WebhookTest{}, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	trial := HookEvent{Problem: "test", State: "test", Kind: "test", Text: "This is a trial by " + c.who.Name + ".", Since: now, At: now}
	trial.ID = eventID(trial)
	status, failure := d.hooks.deliver(c.r.Context(), w, []event{{HookEvent: trial}})
	result := WebhookTest{OK: failure == nil, Status: status, DurMS: time.Since(now).Milliseconds()}
	if failure != nil {
		result.Error = failure.Error()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), changeTimeout)
	defer cancel()
	return result, d.note(ctx, c, "webhook-tested", id, hostOf(w.URL))
}
