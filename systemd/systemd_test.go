package systemd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"signalbox/systemd"
)

func TestMain(m *testing.M) {
	if os.Getenv("SYSTEMD_TEST_CHILD") != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

// manager is the socket that a service manager listens on.
func manager(t *testing.T) (getenv func(string) string, next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	getenv = func(name string) string { return map[string]string{"NOTIFY_SOCKET": path}[name] }
	next = func() string {
		t.Helper()
		buf := make([]byte, 4096)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("the manager hears nothing: %v", err)
		}
		return string(buf[:n])
	}
	return getenv, next
}

func TestNotify(t *testing.T) {
	getenv, next := manager(t)
	n := systemd.NewNotifier(getenv)
	for _, test := range []struct {
		call func() error
		want string
	}{
		{func() error { return n.Ready("serves\n hall 3") }, "READY=1\nSTATUS=serves hall 3"},
		{func() error { return n.Status("a\nREADY=1") }, "STATUS=a READY=1"},
		{func() error { return n.Stopping("asked to") }, "STOPPING=1\nSTATUS=asked to"},
		{n.Alive, "WATCHDOG=1"},
		{func() error { return n.ExtendStart(30 * time.Second) }, "EXTEND_TIMEOUT_USEC=30000000"},
	} {
		if err := test.call(); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != test.want {
			t.Errorf("the manager was told %q, want %q", got, test.want)
		}
	}
	if err := n.Reloading(); err != nil {
		t.Fatal(err)
	}
	stamp, ok := strings.CutPrefix(next(), "RELOADING=1\nMONOTONIC_USEC=")
	if usec, err := strconv.ParseInt(stamp, 10, 64); !ok || err != nil || usec <= 0 {
		t.Errorf("the stamp of a reload is %q", stamp)
	}
}

func TestWithoutManager(t *testing.T) {
	nothing := func(string) string { return "" }
	n := systemd.NewNotifier(nothing)
	if n.Present() || n.Ready("x") != nil || n.Alive() != nil {
		t.Error("there is no manager, and something was told to it")
	}
	if found, err := systemd.Listeners(nothing); err != nil || found != nil {
		t.Errorf("Listeners = %v, %v", found, err)
	}
	if d, err := systemd.WatchdogPeriod(nothing); err != nil || d != 0 {
		t.Errorf("WatchdogPeriod = %v, %v", d, err)
	}
	gone := systemd.NewNotifier(func(string) string { return "/nonexistent/notify" })
	if err := gone.Ready("x"); err == nil {
		t.Error("a manager that is gone was told something")
	}
}

func TestWatchdogPeriod(t *testing.T) {
	own, other := strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getpid()+1)
	for name, test := range map[string]struct {
		usec, pid string
		want      time.Duration
		bad       bool
	}{
		"ours":            {"20000000", own, 20 * time.Second, false},
		"anybody's":       {"1500000", "", 1500 * time.Millisecond, false},
		"another process": {"20000000", other, 0, false},
		"no number":       {"soon", own, 0, true},
		"negative":        {"-1", own, 0, true},
		"beyond time":     {"9223372036854775807", own, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := systemd.WatchdogPeriod(func(key string) string {
				return map[string]string{"WATCHDOG_USEC": test.usec, "WATCHDOG_PID": test.pid}[key]
			})
			if got != test.want || (err != nil) != test.bad {
				t.Errorf("got %v, %v; want %v, error %v", got, err, test.want, test.bad)
			}
		})
	}
}

func TestWatchFeedsOnlyTheWell(t *testing.T) {
	getenv, next := manager(t)
	n := systemd.NewNotifier(getenv)
	ctx, cancel := context.WithCancel(t.Context())
	ill := errors.New("the store does not answer")
	answers := []error{nil, ill, nil}
	asked := 0
	done := make(chan error)
	go func() {
		done <- n.Watch(ctx, 20*time.Millisecond, func(within context.Context) error {
			if _, ok := within.Deadline(); !ok {
				t.Error("a check has no deadline")
			}
			err := answers[min(asked, len(answers)-1)]
			asked++
			return err
		}, func(err error) { t.Errorf("the manager is not reached: %v", err) })
	}()
	for _, want := range []string{"WATCHDOG=1", "STATUS=not well: the store does not answer", "WATCHDOG=1", "STATUS=well again", "WATCHDOG=1"} {
		if got := next(); got != want {
			t.Errorf("the manager was told %q, want %q", got, want)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v", err)
	}
}

// A fault that has passed by the next look leaves most of the period: the manager
// counts from the last time that it was fed.
func TestWatchLooksAgainSoon(t *testing.T) {
	getenv, next := manager(t)
	n := systemd.NewNotifier(getenv)
	ctx, cancel := context.WithCancel(t.Context())
	const period = 2 * time.Second
	asked := 0
	done := make(chan error)
	go func() {
		done <- n.Watch(ctx, period, func(context.Context) error {
			if asked++; asked == 2 {
				return errors.New("a stall of the disk")
			}
			return nil
		}, func(err error) { t.Errorf("the manager is not reached: %v", err) })
	}()
	fed := func() time.Time {
		for next() != "WATCHDOG=1" {
		}
		return time.Now()
	}
	if before, after := fed(), fed(); after.Sub(before) > period*3/4 {
		t.Errorf("after one failure the manager was fed %v after the last time, of %v", after.Sub(before), period)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v", err)
	}
}

// A manager that is away for a moment does not end a service that is well.
func TestWatchWithoutAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	n := systemd.NewNotifier(func(name string) string { return map[string]string{"NOTIFY_SOCKET": path}[name] })
	ctx, cancel := context.WithCancel(t.Context())
	untold, done := make(chan error, 1), make(chan error)
	go func() {
		done <- n.Watch(ctx, 100*time.Millisecond, func(context.Context) error { return nil }, func(err error) {
			select {
			case untold <- err:
			default:
			}
		})
	}()
	select {
	case <-untold:
	case err := <-done:
		t.Fatalf("Watch = %v", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 64)
	if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "WATCHDOG=1" {
		t.Errorf("the manager hears %q, %v", buf[:n], err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v", err)
	}
}

// TestListeners starts this program again as the manager would, with sockets
// from descriptor 3 on.
func TestListeners(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	plain, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()

	run := func(names string, files ...*os.File) string {
		t.Helper()
		// sh keeps its pid when it becomes the program, as a manager's child does.
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
		cmd.ExtraFiles = files
		cmd.Env = append(os.Environ(), "SYSTEMD_TEST_CHILD=1", "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+names)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got, want := run("http", socket), "http "+l.Addr().String(); got != want {
		t.Errorf("the service sees %q, want %q", got, want)
	}
	if got := run("http:https", socket, plain); !strings.Contains(got, `socket "https"`) || !strings.Contains(got, "descriptor 4") {
		t.Errorf("a file that is no socket: %q", got)
	}
}

// child prints what it was handed.
func child() int {
	found, err := systemd.Listeners(os.Getenv)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	if err != nil {
		fmt.Fprintln(out, err)
		return 0
	}
	for name, list := range found {
		for _, l := range list {
			fmt.Fprintln(out, name, l.Addr())
		}
	}
	return 0
}
