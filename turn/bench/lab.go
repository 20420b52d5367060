//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Addresses in the lab. Clients and peers each have one wire to the server.
var (
	clientAddr   = netip.MustParseAddr("10.99.1.2")
	serverAddr   = netip.MustParseAddr("10.99.1.1") // as the clients see it
	relayAddr    = netip.MustParseAddr("10.99.2.1") // as the peers see it
	peerAddr     = netip.MustParseAddr("10.99.2.2")
	serverListen = netip.AddrPortFrom(serverAddr, 3478)
)

const prefixBits = 24

// lab is three network namespaces with a veth pair from the server to each of
// the others. The kernel takes it away when its handles and processes are gone.
type lab struct {
	client, server, peer *host
}

// host is a network namespace without a name.
type host struct {
	ns netns.NsHandle
	nl *netlink.Handle
}

// anyCore leaves packets to the core that sent them.
const anyCore = -1

// newLab has the packets to the server handled on serverCore and those to the
// others on loadCore, so that what the kernel does is charged to the right one.
// With anyCore for the load, the server's core does the others' receiving, too.
func newLab(serverCore, loadCore int) (l *lab, err error) {
	l = &lab{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	for _, h := range []**host{&l.client, &l.server, &l.peer} {
		if *h, err = newHost(); err != nil {
			return nil, fmt.Errorf("make a network namespace (this needs root): %w", err)
		}
	}
	for _, w := range []struct {
		name      string
		far       *host
		near, end netip.Addr
	}{{"client", l.client, serverAddr, clientAddr}, {"peer", l.peer, relayAddr, peerAddr}} {
		if err := l.server.wire(w.name, w.far, w.near, w.end, serverCore, loadCore); err != nil {
			return nil, fmt.Errorf("wire the server to the %s: %w", w.name, err)
		}
	}
	return l, nil
}

func (l *lab) close() {
	for _, h := range []*host{l.client, l.server, l.peer} {
		if h != nil {
			h.nl.Close()
			h.ns.Close()
		}
	}
}

func newHost() (*host, error) {
	h := &host{ns: netns.None()}
	err := onThread(func() (err error) {
		if h.ns, err = netns.New(); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return fmt.Errorf("find loopback: %w", err)
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		return nil, err
	}
	h.nl, err = netlink.NewHandleAt(h.ns)
	return h, err
}

// wire connects h to far, whose default route then leads here: a relay may
// give out its address on the other wire.
func (h *host) wire(name string, far *host, near, end netip.Addr, nearCore, farCore int) error {
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: name, TxQLen: -1},
		PeerName:      "server",
		PeerNamespace: netlink.NsFd(far.ns),
	}
	if err := h.nl.LinkAdd(pair); err != nil {
		return fmt.Errorf("add veth pair: %w", err)
	}
	if err := h.up(name, near, nearCore); err != nil {
		return err
	}
	if err := far.up("server", end, farCore); err != nil {
		return err
	}
	if err := far.cutTrains("server"); err != nil {
		return err
	}
	if err := far.nl.RouteAdd(&netlink.Route{Gw: near.AsSlice()}); err != nil {
		return fmt.Errorf("add default route: %w", err)
	}
	for _, side := range []struct {
		h    *host
		name string
	}{{h, name}, {far, "server"}} {
		if err := side.h.awaitCarrier(side.name); err != nil {
			return err
		}
	}
	return nil
}

func (h *host) up(name string, addr netip.Addr, core int) error {
	link, err := h.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	network := &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(prefixBits, addr.BitLen())}
	if err := h.nl.AddrAdd(link, &netlink.Addr{IPNet: network}); err != nil {
		return fmt.Errorf("add address %v: %w", addr, err)
	}
	if err := h.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return h.steer(name, core)
}

// cutTrains has a card send the datagrams of one call (UDP_SEGMENT) each for
// itself: a server must not get them as the load's kernel had them. They still
// come with one interrupt, as from a card under load.
func (h *host) cutTrains(name string) error {
	link, err := h.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if err := h.nl.LinkSetGSOMaxSegs(link, 1); err != nil {
		return fmt.Errorf("have %s cut trains: %w", name, err)
	}
	return nil
}

// steer has what arrives on a card handled on one core. /sys shows the cards of
// the namespace it was mounted in, so a thread mounts it for itself and ends.
func (h *host) steer(name string, core int) error {
	if core == anyCore {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread's mounts end with it
		done <- func() error {
			if err := netns.Set(h.ns); err != nil {
				return fmt.Errorf("enter network namespace: %w", err)
			}
			if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
				return fmt.Errorf("make a mount namespace: %w", err)
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return fmt.Errorf("make mounts private: %w", err)
			}
			if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
				return fmt.Errorf("mount sysfs: %w", err)
			}
			mask := strconv.FormatUint(1<<core, 16)
			return os.WriteFile(filepath.Join("/sys/class/net", name, "queues/rx-0/rps_cpus"), []byte(mask), 0)
		}()
	}()
	return <-done
}

func (h *host) awaitCarrier(name string) error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		link, err := h.nl.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no carrier on %s after 5s", name)
		}
	}
}

// do runs f on a thread inside the host. Sockets and processes that f makes
// stay there.
func (h *host) do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f on a thread of its own and puts that thread back where it
// was. A thread that cannot be put back ends with its goroutine.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("the function ended its goroutine")
		defer func() { done <- err }()
		runtime.LockOSThread()
		home, homeErr := netns.Get()
		if homeErr != nil {
			err = fmt.Errorf("find the current network namespace: %w", homeErr)
			runtime.UnlockOSThread()
			return
		}
		defer func() {
			defer home.Close()
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			}
		}()
		err = f()
	}()
	return <-done
}
