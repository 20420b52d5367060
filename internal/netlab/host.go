//go:build linux

package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// NoAddr in place of an address attaches a host without any: a network card
// before DHCP. It still has its IPv6 link-local address.
const NoAddr = "-"

// Host is one machine of a Lab: a network namespace.
type Host struct {
	Name string
	lab  *Lab
	ns   netns.NsHandle
	nl   *netlink.Handle

	mu    sync.Mutex
	links []*Link
}

// Attach plugs the host into a segment as the next of eth0, eth1, … and waits
// until the link is up. Without addresses it takes the next free one of each of
// the segment's prefixes; see NoAddr for none at all.
func (h *Host) Attach(s *Segment, addrs ...string) *Link {
	h.lab.tb.Helper()
	for n := 0; ; n++ {
		name := fmt.Sprintf("eth%d", n)
		if _, err := h.nl.LinkByName(name); err != nil {
			return h.AttachAs(name, s, addrs...)
		}
	}
}

// AttachAs is Attach with an interface name of the caller's choice.
func (h *Host) AttachAs(name string, s *Segment, addrs ...string) *Link {
	h.lab.tb.Helper()
	link, err := h.attach(name, s, addrs)
	if err != nil {
		h.lab.tb.Fatalf("host %s: attach %s to %s: %v", h.Name, name, s.Name, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.links = append(h.links, link)
	return link
}

// IPv4 is the first IPv4 address the host was given, the zero Addr for none.
func (h *Host) IPv4() netip.Addr { return h.first(netip.Addr.Is4) }

// IPv6 is the first IPv6 address the host was given, the zero Addr for none.
func (h *Host) IPv6() netip.Addr { return h.first(netip.Addr.Is6) }

func (h *Host) first(is func(netip.Addr) bool) netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.links {
		if addr := l.first(is); addr.IsValid() {
			return addr
		}
	}
	return netip.Addr{}
}

// Route sends what is for prefix, or for "default", through the host at via.
func (h *Host) Route(prefix, via string) {
	h.lab.tb.Helper()
	gw, err := netip.ParseAddr(via)
	if err != nil {
		h.lab.tb.Fatalf("host %s: route %s: %v", h.Name, prefix, err)
	}
	route := &netlink.Route{Gw: gw.AsSlice()}
	if prefix != "default" {
		if route.Dst, err = netlink.ParseIPNet(prefix); err != nil {
			h.lab.tb.Fatalf("host %s: route %s: %v", h.Name, prefix, err)
		}
	}
	if err := h.nl.RouteAdd(route); err != nil {
		h.lab.tb.Fatalf("host %s: route %s via %s: %v", h.Name, prefix, via, err)
	}
}

// Sysctl writes a kernel setting of this host, such as
// "net/ipv6/conf/all/disable_ipv6".
func (h *Host) Sysctl(key, value string) {
	h.lab.tb.Helper()
	if err := h.Do(func() error { return writeSysctl(key, value) }); err != nil {
		h.lab.tb.Fatalf("host %s: %v", h.Name, err)
	}
}

// Do runs f on a thread inside the host and returns its error. Sockets that f
// opens stay on the host for good. Goroutines that f starts do not run there:
// code that starts its own, or looks up interfaces later, belongs in a process
// of its own (Command, Self). f must not call t.Fatal or the like.
func (h *Host) Do(f func() error) error { return inside(h.ns, f) }

// DialContext is net.Dialer.DialContext from this host, fit for http.Transport
// and websocket.Dialer. The address must be numeric: a name would be resolved
// outside.
func (h *Host) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen is net.Listen on this host.
func (h *Host) Listen(network, address string) (ln net.Listener, err error) {
	err = h.Do(func() error {
		ln, err = net.Listen(network, address)
		return err
	})
	return ln, err
}

// ListenPacket is net.ListenPacket on this host.
func (h *Host) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	err = h.Do(func() error {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// Command is exec.CommandContext inside the host. The process sees the host's
// network and the machine's files; its id is that of the named program. What
// still runs when the test ends is killed.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	enter := []string{fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), int(h.ns)), "--", name}
	return exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
}

// roleVariable tells a copy of a test binary which part it plays.
const roleVariable = "NETLAB_ROLE"

// Self runs the test binary again inside the host, for code that starts
// goroutines of its own. TestMain looks at Role before anything else:
//
//	func TestMain(m *testing.M) {
//		if netlab.Role() == "box" {
//			os.Exit(runBox(os.Args[1:]))
//		}
//		goleak.VerifyTestMain(m)
//	}
func (h *Host) Self(ctx context.Context, role string, args ...string) *exec.Cmd {
	h.lab.tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		h.lab.tb.Fatalf("host %s: find the test binary: %v", h.Name, err)
	}
	cmd := h.Command(ctx, exe, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

// Role is the role this process was started with by Self, "" for the test itself.
func Role() string { return os.Getenv(roleVariable) }
