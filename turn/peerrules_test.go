package turn_test

import (
	"fmt"
	"testing"
	"time"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// Rules that change while the relay runs hold for live allocations with the
// next packet, in both directions (F18).
func TestPeerRulesChange(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t), echo(t, "127.0.0.1:0")
		c := turntest.Dial(t, network, turntest.Addr(server))
		c.Allocate()
		want(t, "channel", c.Bind(0x4000, peer), 0)
		c.SendChannel(0x4000, []byte("one"))
		want(t, "answer", receive(t, c), turntest.Datagram{Channel: 0x4000, Data: "echo one"})

		open, here := []turn.PeerRule{turntest.Rule("127.0.0.0/8")}, fmt.Sprintf("127.0.0.1/32 port %d", peer.Port())
		for _, step := range []struct {
			what        string
			allow, deny []turn.PeerRule
			want        bool
		}{
			{"denied", open, []turn.PeerRule{turntest.Rule("127.0.0.1/32")}, false},
			{"other port denied", open, []turn.PeerRule{turntest.Rule("127.0.0.1/32 port 1")}, true},
			{"port denied", open, []turn.PeerRule{turntest.Rule(here)}, false},
			{"port denied to others", open, []turn.PeerRule{turntest.Rule(here + " user cam-*")}, true},
			{"not allowed", nil, nil, false},
			{"port allowed", []turn.PeerRule{turntest.Rule(here)}, nil, true},
			{"port allowed to others", []turn.PeerRule{turntest.Rule(here + " user cam-*")}, nil, false},
			{"port allowed to the user", []turn.PeerRule{turntest.Rule(here + " user test*")}, nil, true},
		} {
			if err := server.SetPeerRules(step.allow, step.deny); err != nil {
				t.Fatal(err)
			}
			denied := server.Stats().Dropped["peer_denied"]
			c.SendChannel(0x4000, []byte(step.what))
			if step.want {
				want(t, step.what, receive(t, c), turntest.Datagram{Channel: 0x4000, Data: "echo " + step.what})
				want(t, step.what, c.Bind(0x4000, peer), 0)
				continue
			}
			turntest.Until(t, step.what+": dropped", func() bool { return server.Stats().Dropped["peer_denied"] > denied })
			if d, ok := c.Receive(10 * time.Millisecond); ok {
				t.Errorf("%s: received %v", step.what, d)
			}
			want(t, step.what, c.Bind(0x4000, peer), 403)
		}
		if err := server.SetPeerRules([]turn.PeerRule{turntest.Rule("224.0.0.0/8")}, nil); err == nil {
			t.Error("multicast can be allowed")
		}
	})
}
