package turn_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// dialAs is turntest.Dial with a credential for user.
func dialAs(t *testing.T, server *turn.Server, network, user string) *turntest.Client {
	t.Helper()
	c := turntest.Dial(t, network, turntest.Addr(server))
	c.Credential = server.Credential(user, time.Hour)
	return c
}

// idOf is the number of the allocation that a client has.
func idOf(t *testing.T, server *turn.Server, c *turntest.Client) uint64 {
	t.Helper()
	for _, a := range server.Allocations() {
		if a.Client.String() == c.Conn().LocalAddr().String() {
			return a.ID
		}
	}
	t.Fatalf("%v has no allocation", c.Conn().LocalAddr())
	return 0
}

// An allocation that is ended is gone when End returns, and its client may have
// another one.
func TestEnd(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t), echo(t, "127.0.0.1:0")
		ended, stays := dialAs(t, server, network, "cam-7"), dialAs(t, server, network, "cam-8")
		for _, c := range []*turntest.Client{ended, stays} {
			c.Allocate()
			want(t, "channel", c.Bind(0x4000, peer), 0)
		}
		id := idOf(t, server, ended)
		want(t, "ended", server.End(id), true)
		want(t, "ended again", server.End(id), false)
		want(t, "ended what never was", server.End(1<<40), false)
		want(t, "allocations", server.Stats().Allocations, 1)
		want(t, "refresh", ended.Refresh(time.Minute), 437)
		ended.SendChannel(0x4000, []byte("to nobody"))
		turntest.Until(t, "dropped", func() bool { return server.Stats().Dropped["no_allocation"] == 1 })

		stays.SendChannel(0x4000, []byte("x"))
		want(t, "answer of the other", receive(t, stays).Data, "echo x")
		ended.Allocate()
		if again := idOf(t, server, ended); again == id {
			t.Errorf("the new allocation has number %d again", id)
		}
	})
}

// Everything of one user ends, whatever carries it, and nothing of another.
func TestEndUser(t *testing.T) {
	server := turntest.Start(t)
	for _, network := range []string{"udp", "tcp", "udp"} {
		dialAs(t, server, network, "cam-7").Allocate()
	}
	other := dialAs(t, server, "udp", "cam-70")
	other.Allocate()
	want(t, "ended", server.EndUser("cam-7"), 3)
	want(t, "ended again", server.EndUser("cam-7"), 0)
	want(t, "refresh of the other", other.Refresh(time.Minute), 0)
	want(t, "allocations", server.Stats().Allocations, 1)
}

// Allocations may be ended while their clients make and use them.
func TestEndWhileInUse(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t), echo(t, "127.0.0.1:0")
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					for _, a := range server.Allocations() {
						server.End(a.ID)
					}
				}
			}
		}()
		c := turntest.Dial(t, network, turntest.Addr(server))
		for range 200 {
			// 500 is for one that ended before pion could answer.
			if code := turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport)); code != 0 && code != 437 && code != 500 {
				t.Errorf("allocate: got %d", code)
			}
			if code := c.Bind(0x4000, peer); code != 0 && code != 437 {
				t.Errorf("bind: got %d", code)
			}
			c.SendChannel(0x4000, []byte("x"))
		}
		close(stop)
		<-stopped
		server.EndUser("tester")
		want(t, "allocations", server.Stats().Allocations, 0)
		c.Allocate()
	})
}

// A relay that drains refuses new allocations by name and lets the others go
// on until the last one has ended.
func TestDrain(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t), echo(t, "127.0.0.1:0")
		c, late := turntest.Dial(t, network, turntest.Addr(server)), turntest.Dial(t, network, turntest.Addr(server))
		c.Allocate()
		want(t, "draining", server.Draining(), false)
		server.Drain(true)
		want(t, "draining", server.Draining() && server.Stats().Draining, true)

		refused := late.Request(stun.MethodAllocate, turntest.UDPTransport)
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(refused); err != nil {
			t.Fatal(err)
		}
		want(t, "code", code.Code, stun.CodeInsufficientCapacity)
		want(t, "reason", string(code.Reason), "Relay Is Draining")
		if err := late.Key().Check(refused); err != nil {
			t.Errorf("the refusal is not signed: %v", err)
		}
		want(t, "counted", server.Stats().RefusedDraining, 1)
		want(t, "counted by code", server.Stats().Refused[508], 1)

		want(t, "refresh", c.Refresh(time.Minute), 0)
		want(t, "channel", c.Bind(0x4000, peer), 0)
		c.SendChannel(0x4000, []byte("x"))
		want(t, "answer", receive(t, c).Data, "echo x")
		select {
		case <-server.Drained():
			t.Error("drained with an allocation")
		default:
		}
		want(t, "end", c.Refresh(0), 0)
		select {
		case <-server.Drained():
		case <-time.After(5 * time.Second):
			t.Error("not drained without an allocation")
		}

		server.Drain(false)
		select {
		case <-server.Drained():
			t.Error("drained without draining")
		default:
		}
		late.Allocate()
		server.Drain(true)
		want(t, "ended", server.EndUser("tester"), 1)
		<-server.Drained()
	})
}

// A relay without allocations is drained at once, and one whose draining is
// called off in time never was.
func TestDrainOfAnIdleRelay(t *testing.T) {
	server := turntest.Start(t)
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	c.Allocate()
	drained := server.Drained()
	server.Drain(true)
	server.Drain(false)
	want(t, "end", c.Refresh(0), 0)
	select {
	case <-drained:
		t.Error("drained though it was called off")
	default:
	}
	server.Drain(true)
	<-drained
}

// What clients and peers send is counted to the byte, without any header, for
// each allocation, each user, each transport and in total.
func TestAccountingIsExact(t *testing.T) {
	server := turntest.Start(t)
	wanted := map[string]turn.AllocationInfo{} // by client
	var toPeers, toClients turn.Traffic
	relayed := map[string]turn.Flow{"udp": {}, "tcp": {}, "tls": {}}
	for i, network := range []string{"udp", "tcp", "udp", "tcp"} {
		c := dialAs(t, server, network, fmt.Sprintf("cam-%d", i/2))
		at, peer := c.Allocate(), listenPeer(t)
		addr := addrOf(peer)
		want(t, "channel", c.Bind(0x4000, addr), 0)
		other := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), 9)
		want(t, "permission", c.Permit(other), 0)
		info := turn.AllocationInfo{
			User: fmt.Sprintf("cam-%d", i/2), Transport: network, Server: turntest.Addr(server), Relayed: []netip.AddrPort{at},
			Permissions: []netip.Addr{addr.Addr(), other.Addr()}, Channels: []turn.ChannelInfo{{Number: 0x4000, Peer: addr}},
		}
		for _, size := range []int{0, 1, 2, 3, 4, 5, 160 + i, 1199, 1200, 1400} {
			payload := []byte(strings.Repeat("x", size))
			c.SendChannel(0x4000, payload)
			c.SendTo(addr, payload)
			for range 2 {
				if n, _, err := peer.ReadFromUDPAddrPort(make([]byte, 2000)); err != nil || n != size {
					t.Fatalf("the peer got %d bytes, %v; want %d", n, err, size)
				}
			}
			info.ToPeers.Packets += 2
			info.ToPeers.Bytes += 2 * uint64(size)
			for range 3 {
				if _, err := peer.WriteToUDPAddrPort(payload, at); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, c); len(got.Data) != size {
					t.Fatalf("the client got %d bytes, want %d", len(got.Data), size)
				}
			}
			info.ToClient.Packets += 3
			info.ToClient.Bytes += 3 * uint64(size)
		}
		toPeers.Packets, toPeers.Bytes = toPeers.Packets+info.ToPeers.Packets, toPeers.Bytes+info.ToPeers.Bytes
		toClients.Packets, toClients.Bytes = toClients.Packets+info.ToClient.Packets, toClients.Bytes+info.ToClient.Bytes
		f := relayed[network]
		f.ToPeers.Packets, f.ToPeers.Bytes = f.ToPeers.Packets+info.ToPeers.Packets, f.ToPeers.Bytes+info.ToPeers.Bytes
		f.ToClients.Packets, f.ToClients.Bytes = f.ToClients.Packets+info.ToClient.Packets, f.ToClients.Bytes+info.ToClient.Bytes
		relayed[network] = f
		wanted[c.Conn().LocalAddr().String()] = info
	}

	// The relay counts a packet once it has sent it, which may be after it arrived.
	turntest.Until(t, "everything counted", func() bool {
		return server.Stats().ToPeers == toPeers && server.Stats().ToClients == toClients
	})
	stats := server.Stats()
	for network, f := range relayed {
		want(t, "relayed over "+network, stats.Relayed[network], f)
	}
	list := server.Allocations()
	want(t, "allocations", len(list), len(wanted))
	users := map[string]turn.UserInfo{}
	for _, got := range list {
		w := wanted[got.Client.String()]
		want(t, "user", got.User, w.User)
		want(t, "transport", got.Transport, w.Transport)
		want(t, "server", got.Server, w.Server)
		want(t, "to peers", got.ToPeers, w.ToPeers)
		want(t, "to the client", got.ToClient, w.ToClient)
		if !slices.Equal(got.Relayed, w.Relayed) || !slices.Equal(got.Permissions, w.Permissions) || !slices.Equal(got.Channels, w.Channels) {
			t.Errorf("allocation %+v, want %+v", got, w)
		}
		if age, left := time.Since(got.Created), time.Until(got.Expires); age < 0 || age > time.Minute || left < 9*time.Minute || left > 10*time.Minute {
			t.Errorf("allocation is %v old and has %v left", age, left)
		}
		u := users[got.User]
		u.User = got.User
		u.Allocations++
		u.Permissions += 2
		u.Channels++
		u.ToPeers.Packets, u.ToPeers.Bytes = u.ToPeers.Packets+w.ToPeers.Packets, u.ToPeers.Bytes+w.ToPeers.Bytes
		u.ToClient.Packets, u.ToClient.Bytes = u.ToClient.Packets+w.ToClient.Packets, u.ToClient.Bytes+w.ToClient.Bytes
		users[got.User] = u
	}
	if got, w := server.Users(), []turn.UserInfo{users["cam-0"], users["cam-1"]}; !slices.Equal(got, w) {
		t.Errorf("users %+v, want %+v", got, w)
	}
}

// Once the relay says that it is drained there is no allocation and none comes,
// however many are asked for at that moment.
func TestDrainedIsFinal(t *testing.T) {
	server := turntest.Start(t)
	var clients []*turntest.Client
	for i := range 8 {
		c := turntest.Dial(t, transports[i%2], turntest.Addr(server))
		c.Challenge()
		clients = append(clients, c)
	}
	for round := range 20 {
		begin := make(chan struct{})
		var asking sync.WaitGroup
		for _, c := range clients {
			asking.Go(func() {
				<-begin
				switch code := turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport)); code {
				case 0:
					if code := c.Refresh(0); code != 0 {
						t.Errorf("end: got %d", code)
					}
				case 508:
				default:
					t.Errorf("allocate: got %d", code)
				}
			})
		}
		close(begin)
		time.Sleep(time.Duration(round) * 50 * time.Microsecond)
		server.Drain(true)
		<-server.Drained()
		created := server.Stats().Created
		want(t, "allocations", server.Stats().Allocations, 0)
		asking.Wait()
		want(t, "created after it was drained", server.Stats().Created, created)
		server.Drain(false)
	}
	if stats := server.Stats(); stats.Created == 0 || stats.RefusedDraining == 0 {
		t.Errorf("%d allocations made and %d refused, want some of each", stats.Created, stats.RefusedDraining)
	}
}
