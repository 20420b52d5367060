package appliance

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/appliance/auth"
	"signalbox/appliance/config"
	"signalbox/turn"
	"signalbox/turn/turntest"
)

// running is a box on a data folder that serves until stop.
func running(t *testing.T, dir string) (b *Appliance, stop func()) {
	t.Helper()
	cfg := config.Default()
	cfg.Data, cfg.Discovery.Enabled = dir, false
	cfg.HTTP.Listen, cfg.HTTP.HTTPS = []string{"127.0.0.1:0"}, nil
	cfg.Turn.Listen = []string{"127.0.0.1:0"}
	cfg.Log.Level = slog.LevelError
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- b.Run(ctx) }()
	<-b.Ready()
	stop = func() {
		t.Helper()
		if cancel(); stopped == nil {
			return
		}
		if err := <-stopped; err != nil {
			t.Errorf("box: %v", err)
		}
		stopped = nil
	}
	t.Cleanup(stop)
	return b, stop
}

// dial opens a client of the box's relay.
func dial(t *testing.T, b *Appliance, c turn.Credential) *turntest.Client {
	t.Helper()
	client := turntest.Dial(t, "udp", turntest.Addr(b.relay))
	client.Credential = c
	return client
}

func allocate(c *turntest.Client) int {
	return turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport))
}

// signIn issues a token and gives what a session with it is told of the relay.
func signIn(t *testing.T, b *Appliance, subject string) (auth.Identity, turn.Credential) {
	t.Helper()
	_, id, err := b.authority.Issue(auth.Grant{Subject: subject, Rooms: []string{"*"}, Rights: auth.DeviceRights})
	if err != nil {
		t.Fatal(err)
	}
	return id, credentialOf(b, id)
}

func credentialOf(b *Appliance, id auth.Identity) (c turn.Credential) {
	for _, s := range b.ice(netip.MustParseAddr("127.0.0.1"), id).Servers {
		if s.Username != "" {
			c = turn.Credential{Username: s.Username, Password: s.Credential}
		}
	}
	return c
}

// Revoking a subject or a token ends its calls within a second, for good, and
// whoever is signed in again calls at once.
func TestRevocationEndsCalls(t *testing.T) {
	dir := t.TempDir()
	b, stop := running(t, dir)
	_, stolen := signIn(t, b, "cam-7")
	first, firstToken := signIn(t, b, "tablet")
	_, secondToken := signIn(t, b, "tablet")
	clients := map[string]*turntest.Client{"subject": dial(t, b, stolen), "token": dial(t, b, firstToken), "other token": dial(t, b, secondToken)}
	for name, c := range clients {
		if code := allocate(c); code != 0 {
			t.Fatalf("%s: allocate: %d", name, code)
		}
	}
	began := time.Now()
	for _, r := range []auth.Revocation{{Subject: "cam-7"}, {TokenID: first.TokenID}} {
		if err := b.authority.Revoke(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	turntest.Until(t, "one call left", func() bool { return len(b.relay.Allocations()) == 1 })
	if took := time.Since(began); took > time.Second {
		t.Errorf("the calls ended after %v, want within a second", took)
	}
	for name, code := range map[string]int{"subject": 401, "token": 401, "other token": 0} {
		if got := clients[name].Refresh(10 * time.Minute); got != code {
			t.Errorf("%s: refresh: %d, want %d", name, got, code)
		}
	}
	if c := credentialOf(b, first); c.Username != "" {
		t.Errorf("a revoked session got %v", c)
	}
	_, again := signIn(t, b, "cam-7")
	if code := allocate(dial(t, b, again)); code != 0 {
		t.Errorf("allocate after signing in again: %d", code)
	}
	stop()

	b, _ = running(t, dir)
	for name, test := range map[string]struct {
		made turn.Credential
		code int
	}{"subject": {stolen, 401}, "token": {firstToken, 401}, "other token": {secondToken, 0}, "signed in again": {again, 0}} {
		if got := allocate(dial(t, b, test.made)); got != test.code {
			t.Errorf("%s after a restart: allocate: %d, want %d", name, got, test.code)
		}
	}
}

// A new secret of the relay is in force at once and after a restart, and so is
// the overlap of the one before.
func TestRotateRelaySecret(t *testing.T) {
	dir := t.TempDir()
	b, stop := running(t, dir)
	before := b.relay.Credential("cam-7", time.Hour)
	call := dial(t, b, before)
	call.Allocate()
	if err := (box{b}).Rotate(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	after := b.relay.Credential("cam-7", time.Hour)
	if after.Username == before.Username && after.Password == before.Password {
		t.Error("the secret is the same after a rotation")
	}
	stop()
	b, _ = running(t, dir)
	for name, c := range map[string]turn.Credential{"before": before, "after": after} {
		if code := allocate(dial(t, b, c)); code != 0 {
			t.Errorf("made %s the rotation: allocate: %d", name, code)
		}
	}
	call = dial(t, b, before)
	call.Allocate()
	if err := (box{b}).Rotate(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]turn.Credential{"before": before, "after": after} {
		if code := allocate(dial(t, b, c)); code != 401 {
			t.Errorf("made %s the first rotation: allocate: %d, want 401", name, code)
		}
	}
	if code := call.Refresh(10 * time.Minute); code != 0 {
		t.Errorf("refresh of a running call: %d", code)
	}
}
