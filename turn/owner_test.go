package turn_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// static is the credential of a user in the configuration.
func static(name, password string) turn.Credential {
	return turn.Credential{Username: name, Password: password}
}

func TestStaticUser(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t, func(cfg *turn.Config) {
			cfg.Users = []turn.User{{Name: "plc-1", Password: "gate 7"}}
		}), echo(t, "127.0.0.1:0")
		c := turntest.Dial(t, network, turntest.Addr(server))
		c.Credential = static("plc-1", "gate 8")
		want(t, "wrong password", turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport)), 401)
		c.Credential = static("plc-1", "gate 7")
		c.Allocate()
		want(t, "user", server.Allocations()[0].User, "plc-1")
		want(t, "channel", c.Bind(0x4000, peer), 0)
		c.SendChannel(0x4000, []byte("hello"))
		want(t, "answer", receive(t, c), turntest.Datagram{Channel: 0x4000, Data: "echo hello"})
		// A time-limited credential of the same name is the same user.
		c.Credential = server.Credential("plc-1", time.Hour)
		want(t, "refresh", c.Refresh(10*time.Minute), 0)
	})
}

// An application server with a shared secret goes on working, and so does one
// whose secret changes while the relay runs.
func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("north gate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := turntest.Start(t, func(cfg *turn.Config) { cfg.SecretFiles, cfg.MaxChallenges = []string{path}, 10000 })
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	c.Credential = turn.NewCredential([]byte("north gate"), "web", time.Now().Add(time.Hour))
	c.Allocate()
	if err := os.WriteFile(path, []byte("south gate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	turntest.Until(t, "the new secret in force", func() bool {
		other := turntest.Dial(t, "udp", turntest.Addr(server))
		other.Credential = turn.NewCredential([]byte("south gate"), "web", time.Now().Add(time.Hour))
		return turntest.Code(other.Request(stun.MethodAllocate, turntest.UDPTransport)) == 0
	})
	want(t, "refresh of the running call", c.Refresh(10*time.Minute), 0)
	late := turntest.Dial(t, "udp", turntest.Addr(server))
	late.Credential = c.Credential
	want(t, "allocate with the old secret", turntest.Code(late.Request(stun.MethodAllocate, turntest.UDPTransport)), 401)
}

// With an overlap both secrets work; without, only running calls go on.
func TestRotation(t *testing.T) {
	for _, strict := range []bool{false, true} {
		server, peer := turntest.Start(t, func(cfg *turn.Config) { cfg.StrictExpiry = strict }), echo(t, "127.0.0.1:0")
		running := turntest.Dial(t, "udp", turntest.Addr(server))
		running.Credential = server.Credential("tester", time.Hour)
		running.Allocate()
		fresh := turn.Secret{Key: []byte("a secret of sixteen bytes")}
		if err := server.SetSecrets(fresh, turn.Secret{Key: turntest.Secret, Until: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		overlap := turntest.Dial(t, "udp", turntest.Addr(server))
		overlap.Credential = running.Credential
		overlap.Allocate()
		modern := turntest.Dial(t, "udp", turntest.Addr(server))
		modern.Credential = server.Credential("tester", time.Hour)
		modern.Allocate()
		want(t, "made with the new secret", modern.Credential.Password,
			turn.NewCredential(fresh.Key, modern.Credential.Username[11:], modern.Credential.Expires).Password)

		if err := server.SetSecrets(fresh); err != nil {
			t.Fatal(err)
		}
		code := 0
		if strict {
			code = 401
		}
		want(t, "refresh of a running call", running.Refresh(10*time.Minute), code)
		want(t, "permission of a running call", running.Permit(peer), code)
		want(t, "refresh with the new secret", modern.Refresh(10*time.Minute), 0)
		late := turntest.Dial(t, "udp", turntest.Addr(server))
		late.Credential = running.Credential
		want(t, "allocate with the old secret", turntest.Code(late.Request(stun.MethodAllocate, turntest.UDPTransport)), 401)
	}
}

// Revocation ends what runs and refuses what comes, and lets in at once who is
// signed in anew.
func TestRevocation(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t, func(cfg *turn.Config) {
			cfg.Users = []turn.User{{Name: "plc-1", Password: "gate 7"}}
		}), echo(t, "127.0.0.1:0")
		dial := func(c turn.Credential) *turntest.Client {
			client := turntest.Dial(t, network, turntest.Addr(server))
			client.Credential = c
			return client
		}
		thief, bystander, plc := dial(server.Credential("cam", time.Hour)), dial(server.Credential("cam-2", time.Hour)), dial(static("plc-1", "gate 7"))
		guest := dial(server.Issue("cam-2", "g1", time.Hour))
		for _, c := range []*turntest.Client{thief, bystander, plc, guest} {
			c.Allocate()
			want(t, "channel", c.Bind(0x4000, peer), 0)
		}
		began := time.Now()
		if err := server.SetRevoked([]turn.Revocation{
			{Subject: "cam", Before: began}, {Subject: "plc-1", Before: began}, {Grant: "g1"},
		}); err != nil {
			t.Fatal(err)
		}
		turntest.Until(t, "one allocation left", func() bool { return len(server.Allocations()) == 1 })
		if took := time.Since(began); took > time.Second {
			t.Errorf("the allocations ended after %v, want within a second", took)
		}
		want(t, "who is left", server.Allocations()[0].User, "cam-2")
		for _, c := range []*turntest.Client{thief, plc, guest} {
			want(t, "refresh", c.Refresh(10*time.Minute), 401)
			want(t, "allocate", turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport)), 401)
			c.SendChannel(0x4000, []byte("hello"))
			if d, ok := c.Receive(20 * time.Millisecond); ok {
				t.Errorf("received %v after the revocation", d)
			}
		}
		bystander.SendChannel(0x4000, []byte("hello"))
		want(t, "answer to a bystander", receive(t, bystander), turntest.Datagram{Channel: 0x4000, Data: "echo hello"})

		thief.Credential = server.Credential("cam", time.Hour) // signed in again in the same second
		thief.Allocate()
		if err := server.SetRevoked(nil); err != nil {
			t.Fatal(err)
		}
		plc.Allocate()
	})
}

// A call whose owner has refreshed it with a newer credential goes on when the
// older one is revoked.
func TestRevocationSparesNewerCredential(t *testing.T) {
	server := turntest.Start(t)
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	now := time.Now()
	c.Credential = turn.NewStamped(turntest.Secret, "cam", "", now.Add(-time.Hour), now.Add(time.Hour))
	c.Allocate()
	older := c.Credential
	c.Credential = server.Issue("cam", "", time.Hour)
	want(t, "refresh with a newer credential", c.Refresh(10*time.Minute), 0)
	if err := server.SetRevoked([]turn.Revocation{{Subject: "cam", Before: now.Add(-time.Minute)}}); err != nil {
		t.Fatal(err)
	}
	want(t, "refresh", c.Refresh(10*time.Minute), 0)
	c.Credential = older
	want(t, "refresh with the older credential", c.Refresh(10*time.Minute), 401)
}

// Revocations come and go while clients allocate, permit and bind: every
// request is answered and nothing is left over.
func TestRevocationAmidRequests(t *testing.T) {
	server, peer := turntest.Start(t, func(cfg *turn.Config) { cfg.MaxChallenges = 100000 }), echo(t, "127.0.0.1:0")
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i, network := range []string{"udp", "tcp", "udp", "tcp"} {
		c := turntest.Dial(t, network, turntest.Addr(server))
		c.Credential = server.Issue("cam", "", time.Hour)
		c.Challenge()
		clients.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				m := c.Request(stun.MethodAllocate, turntest.UDPTransport)
				if code := turntest.Code(m); code != 0 && code != 401 && code != 437 {
					t.Errorf("allocate: %d", code)
				}
				for range n % 3 {
					c.Permit(peer)
					c.Bind(0x4000, peer)
				}
			}
		})
	}
	for range 200 {
		for _, list := range [][]turn.Revocation{{{Subject: "cam", Before: time.Now()}}, nil} {
			if err := server.SetRevoked(list); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	close(stop)
	clients.Wait()
	want(t, "revoke", server.SetRevoked([]turn.Revocation{{Subject: "cam", Before: time.Now()}}), nil)
	turntest.Until(t, "nothing left", func() bool { return server.Stats().Allocations == 0 && server.Stats().Users == 0 })
	if server.Stats().Created < 10 {
		t.Errorf("%d allocations made, want many", server.Stats().Created)
	}
}
