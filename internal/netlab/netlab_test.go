//go:build linux

package netlab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/ipv4"

	"signalbox/internal/netlab"
)

func TestMain(m *testing.M) {
	if netlab.Role() == "names" {
		ifis, _ := net.Interfaces()
		for _, ifi := range ifis {
			fmt.Println(ifi.Name, os.Args[1])
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// exchange sends one datagram from a to an address of b and waits for it.
func exchange(t *testing.T, a, b *netlab.Host, to netip.Addr) error {
	t.Helper()
	in, err := b.ListenPacket("udp", net.JoinHostPort(to.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := a.DialContext(t.Context(), "udp", in.LocalAddr().String())
	if err != nil {
		return err
	}
	defer out.Close()
	in.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if _, err := out.Write([]byte("ping")); err != nil {
		return err
	}
	_, _, err = in.ReadFrom(make([]byte, 16))
	return err
}

func TestHostsOfOneSegmentReachEachOther(t *testing.T) {
	lab := netlab.New(t, "box", "phone")
	box, phone := lab.Host("box"), lab.Host("phone")
	if got, want := box.IPv4().String(), "10.77.0.1"; got != want {
		t.Errorf("box has %s, want %s", got, want)
	}
	if got, want := phone.IPv6().String(), "fd77::2"; got != want {
		t.Errorf("phone has %s, want %s", got, want)
	}
	for _, to := range []netip.Addr{box.IPv4(), box.IPv6()} {
		if err := exchange(t, phone, box, to); err != nil {
			t.Errorf("phone to box %v: %v", to, err)
		}
	}
}

func TestSegmentsAreSeparate(t *testing.T) {
	lab := netlab.New(t)
	a, b := lab.Segment("a", "10.77.1.0/24"), lab.Segment("b", "10.77.2.0/24")
	box, cam, phone := lab.Host("box"), lab.Host("cam"), lab.Host("phone")
	box.Attach(a)
	far := box.Attach(b)
	cam.Attach(a)
	phone.Attach(b, "10.77.2.9")
	cam.Route("default", box.IPv4().String())
	phone.Route("10.77.1.0/24", far.IPv4().String())

	if err := exchange(t, cam, box, box.IPv4()); err != nil {
		t.Errorf("cam to box on its own segment: %v", err)
	}
	if err := exchange(t, phone, box, far.IPv4()); err != nil {
		t.Errorf("phone to box on its own segment: %v", err)
	}
	if err := exchange(t, cam, phone, phone.IPv4()); err == nil {
		t.Error("cam reached phone through box, want no forwarding between segments")
	}
}

func TestMulticastReachesTheSegment(t *testing.T) {
	lab := netlab.New(t, "box", "phone")
	group := &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}
	var in, out *net.UDPConn
	err := errors.Join(
		lab.Host("phone").Do(func() (err error) {
			ifi, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			in, err = net.ListenMulticastUDP("udp4", ifi, group)
			return err
		}),
		lab.Host("box").Do(func() (err error) {
			if out, err = net.ListenUDP("udp4", nil); err != nil {
				return err
			}
			ifi, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			return ipv4.NewPacketConn(out).SetMulticastInterface(ifi)
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	if _, err := out.WriteTo([]byte("hello"), group); err != nil {
		t.Fatal(err)
	}
	in.SetReadDeadline(time.Now().Add(time.Second))
	buf := make([]byte, 16)
	n, from, err := in.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != "hello" || from.Addr().Unmap() != lab.Host("box").IPv4() {
		t.Errorf("phone heard %q from %v, %v, want hello from the box", buf[:n], from, err)
	}
}

func TestCommandsRunInsideTheHost(t *testing.T) {
	lab := netlab.New(t, "box", "phone")
	out, err := lab.Host("phone").Command(t.Context(), "ip", "-o", "-4", "address").Output()
	if err != nil || !strings.Contains(string(out), "10.77.0.2/24") || strings.Contains(string(out), "10.77.0.1/24") {
		t.Errorf("ip address on the phone: %v\n%s", err, out)
	}
	out, err = lab.Host("box").Self(t.Context(), "names", "seen").Output()
	if err != nil || string(out) != "lo seen\neth0 seen\n" {
		t.Errorf("copy of the test on the box printed %q, %v, want its two interfaces", out, err)
	}
}

func TestHTTPFromAHost(t *testing.T) {
	lab := netlab.New(t, "box", "phone")
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.RemoteAddr)
	}))
	srv.Listener.Close()
	ln, err := lab.Host("box").Listen("tcp", "10.77.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv.Listener = ln
	srv.Start()
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: lab.Host("phone").DialContext}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if from, _ := io.ReadAll(resp.Body); !strings.HasPrefix(string(from), "10.77.0.2:") {
		t.Errorf("the box saw %s, want the phone 10.77.0.2", from)
	}
}

func TestCablesAndCards(t *testing.T) {
	lab := netlab.New(t, "box", "phone")
	box, phone := lab.Host("box"), lab.Host("phone")
	card := box.Attach(lab.Segment("usb", "10.77.3.0/24"), netlab.NoAddr)
	running := func(name string) (up bool) {
		box.Do(func() error {
			ifi, err := net.InterfaceByName(name)
			up = err == nil && ifi.Flags&net.FlagRunning != 0
			return err
		})
		return up
	}
	if !running(card.Name) || card.IPv4().IsValid() {
		t.Errorf("card %s running %v with address %v, want running and none", card.Name, running(card.Name), card.IPv4())
	}
	card.Unplug()
	waitFor(t, "the carrier to go", func() bool { return !running(card.Name) })
	card.Plug()
	waitFor(t, "the carrier to come", func() bool { return running(card.Name) })
	card.Remove()
	again := box.Attach(lab.Segment("usb"))
	if again.Name != card.Name || again.Index == card.Index {
		t.Errorf("new card is %s index %d after %s index %d, want the same name and another index",
			again.Name, again.Index, card.Name, card.Index)
	}
	if err := exchange(t, phone, box, box.IPv4()); err != nil {
		t.Errorf("phone to box after all this: %v", err)
	}
}

func TestThreadsReturnHome(t *testing.T) {
	home := thread(t)
	lab := netlab.New(t, "box")
	for range 20 {
		lab.Host("box").Do(func() error { return nil })
		lab.Host("box").Do(func() error { runtime.Goexit(); return nil })
	}
	for range 100 {
		if got := thread(t); got != home {
			t.Fatalf("a thread of the test is in %s, want %s", got, home)
		}
	}
}

// thread names the network namespace of the calling goroutine's thread.
func thread(t *testing.T) string {
	t.Helper()
	ns, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func TestNothingOutlivesTheLab(t *testing.T) {
	var left *exec.Cmd
	ok := t.Run("lab", func(t *testing.T) {
		left = netlab.New(t, "box").Host("box").Command(context.Background(), "sleep", "60")
		if err := left.Start(); err != nil {
			t.Fatal(err)
		}
		// nsenter must have become sleep before the lab closes.
		waitFor(t, "sleep to run", func() bool {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", left.Process.Pid))
			return string(name) == "sleep\n"
		})
	})
	if !ok || left == nil {
		t.Skip("no lab here")
	}
	started := time.Now()
	if err := left.Wait(); err == nil || time.Since(started) > 5*time.Second {
		t.Errorf("the process ended with %v after %v, want it killed with the lab", err, time.Since(started))
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 5s for %s", what)
		}
	}
}
