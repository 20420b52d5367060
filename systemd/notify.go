// Package systemd is what a service and its manager say to each other: that it
// is ready, reloading, stopping or alive (sd_notify(3)), and the sockets it is
// handed (sd_listen_fds(3)). Without a manager every call does nothing.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// notifyTimeout is for the manager's socket to take a message.
const notifyTimeout = 2 * time.Second

// Notifier tells the manager how the service is. Its methods may be called
// concurrently. The zero value has no manager.
type Notifier struct{ path string }

// NewNotifier talks to the manager that getenv names in NOTIFY_SOCKET. It takes
// os.Getenv; the variable stays, so that a service may start again in place.
func NewNotifier(getenv func(string) string) *Notifier {
	path := getenv("NOTIFY_SOCKET")
	if strings.HasPrefix(path, "@") { // an abstract socket (unix(7))
		path = "\x00" + path[1:]
	}
	return &Notifier{path}
}

// Present reports whether there is a manager.
func (n *Notifier) Present() bool { return n.path != "" }

// Ready says that the service serves, with a line for people.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", "STATUS="+line(status)) }

// Status tells people how the service is, in a line.
func (n *Notifier) Status(status string) error { return n.send("STATUS=" + line(status)) }

// Reloading says that the configuration is being read again; Ready ends it. The
// stamp lets the manager tell it from an older Ready (Type=notify-reload).
func (n *Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10))
}

// Stopping says that the service ends, and why.
func (n *Notifier) Stopping(status string) error { return n.send("STOPPING=1", "STATUS="+line(status)) }

// Alive feeds the watchdog.
func (n *Notifier) Alive() error { return n.send("WATCHDOG=1") }

// ExtendStart asks for more time before the start counts as failed.
func (n *Notifier) ExtendStart(d time.Duration) error {
	return n.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10))
}

// line keeps a status to one line: each line of a message is an assignment.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }

func (n *Notifier) send(lines ...string) error {
	if !n.Present() {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("reach the service manager: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(notifyTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", lines[0], err)
	}
	return nil
}

// WatchdogPeriod is how long the manager waits for a sign of life, 0 when it
// does not watch this process (sd_watchdog_enabled(3)).
func WatchdogPeriod(getenv func(string) string) (time.Duration, error) {
	text := getenv("WATCHDOG_USEC")
	if text == "" {
		return 0, nil
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil // meant for another process
	}
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 || usec > int64(time.Duration(1<<62)/time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC: got %q, want microseconds", text)
	}
	return time.Duration(usec) * time.Microsecond, nil
}

// ErrStuck is the reason of a check that has not come back in time.
var ErrStuck = errors.New("the check of the service does not come back")

// Watch looks four times a period; what has failed is looked at again after a
// sixteenth, so that a fault that passes in time does not end the process.
const (
	looks   = 4
	relooks = 16
)

// Watch feeds the watchdog until ctx ends, four times a period, as long as check
// succeeds. While it fails the manager is not fed and is told why in the status;
// it ends the process when that goes on for a period, of which a quarter may have
// passed before the fault. check gets a context that ends after half a period; it
// runs in the caller's goroutine. A manager that cannot be reached is no reason
// to return: untold gets the error, and it is tried again.
func (n *Notifier) Watch(ctx context.Context, period time.Duration, check func(context.Context) error, untold func(error)) error {
	if period <= 0 || !n.Present() {
		<-ctx.Done()
		return ctx.Err()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	ailing := false
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		began := time.Now()
		within, cancel := context.WithTimeoutCause(ctx, period/2, ErrStuck)
		err := check(within)
		cancel()
		pause := period / looks
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			ailing, pause = true, period/relooks
			_ = n.Status("not well: " + err.Error()) // the watchdog itself tells the manager
		default:
			if err := n.Alive(); err != nil {
				untold(err)
				pause = period / relooks
			} else if ailing {
				ailing = false
				_ = n.Status("well again")
			}
		}
		timer.Reset(max(pause-time.Since(began), 0))
	}
}
