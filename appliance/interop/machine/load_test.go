//go:build linux && interop

package machine_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"signalbox/internal/netlab"
)

// restarts is how often the box is started again under load.
const restarts = 100

// visits counts what visitors of one port met.
type visits struct {
	served, refused, broken atomic.Int64
	last                    atomic.Pointer[error]
}

// visit asks for a page again and again, each time by a connection of its own.
func (v *visits) visit(ctx context.Context, client *http.Client, url string) {
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			panic(err) // of a constant
		}
		answer, err := client.Do(r)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, syscall.ECONNREFUSED):
			v.refused.Add(1)
			v.last.Store(&err)
		case err != nil:
			v.broken.Add(1)
			v.last.Store(&err)
		default:
			v.served.Add(1)
		}
		time.Sleep(5 * time.Millisecond) // a visitor, not a flood
	}
}

// mostBroken is how many visits may be broken off in all restarts. The box waits
// a moment for whoever has just been let in; a visitor who has to share two cores
// with other tests may be later with his request.
const mostBroken = restarts / 10

// Nobody who connects to 80 or 443 is refused while the box is started again a
// hundred times: the sockets are systemd's.
func testRestarts(t *testing.T, m *machine, device *netlab.Host) {
	leave := m.visitors(device)
	began := time.Now()
	m.sh("i=0; while [ $i -lt " + strconv.Itoa(restarts) + " ]; do systemctl restart signalbox || exit 1; i=$((i+1)); done")
	took := time.Since(began)
	for scheme, v := range leave() {
		t.Logf("%s: %d served, %d refused, %d broken off in %d restarts within %v", scheme, v.served.Load(), v.refused.Load(), v.broken.Load(), restarts, took)
		if v.refused.Load() > 0 || v.broken.Load() > mostBroken || v.served.Load() < restarts {
			t.Errorf("%s: %d served, %d refused, %d broken off, such as: %v", scheme, v.served.Load(), v.refused.Load(), v.broken.Load(), v.fault())
		}
	}
	m.active()
}

// visitors come to the ports 80 and 443, two to each, until leave is called.
func (m *machine) visitors(device *netlab.Host) (leave func() map[string]*visits) {
	ctx, stop := context.WithCancel(m.t.Context())
	var visitors sync.WaitGroup
	counts := map[string]*visits{}
	for _, scheme := range []string{"http", "https"} {
		v := new(visits)
		counts[scheme] = v
		transport := &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: m.trusting(),
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return device.DialContext(ctx, network, addr)
			},
		}
		client := &http.Client{Transport: transport, Timeout: patience}
		for range 2 {
			visitors.Go(func() { v.visit(ctx, client, scheme+"://"+m.on.IPv4().String()+"/healthz") })
		}
	}
	return func() map[string]*visits {
		stop()
		visitors.Wait()
		return counts
	}
}

// fault is what the last one met, nil when all went well.
func (v *visits) fault() error {
	if err := v.last.Load(); err != nil {
		return *err
	}
	return nil
}

// idleTime is how long the idle box is looked at here; `make bench` takes ten
// minutes.
const idleTime = 10 * time.Second

// An idle box writes nothing, sleeps, and takes little memory.
func testIdle(t *testing.T, m *machine, _ *netlab.Host) {
	idleFor := idleTime
	if text := os.Getenv("MACHINE_IDLE"); text != "" {
		var err error
		if idleFor, err = time.ParseDuration(text); err != nil {
			t.Fatalf("MACHINE_IDLE: %v", err)
		}
	}
	m.sh("systemctl restart signalbox")
	m.active()
	pid := m.host()
	if idleFor > time.Minute { // a minute after it began a box makes the backup of the day
		m.await("the backup of the day", func() bool { return m.sh("find /var/lib/signalbox -name '*.db' -path '*/backups/*' | wc -l") != "0" })
	}
	before := settled(t, pid)
	woken := wakeUps(t, pid, idleFor)
	if after := written(t, pid); after != before {
		t.Errorf("the idle box wrote %d bytes", after-before)
	}
	rss := field(t, "/proc/"+strconv.Itoa(pid)+"/status", "VmRSS:") // KiB
	t.Logf("idle: %.2f wake-ups a second, %d KiB resident, %d KiB of that its own, 0 bytes written in %v",
		float64(woken)/idleFor.Seconds(), rss, field(t, "/proc/"+strconv.Itoa(pid)+"/status", "RssAnon:"), idleFor)
	if rss > 34<<10 {
		t.Errorf("the idle box takes %d KiB", rss)
	}
}

// settled waits for the end of what a start brings with it: the box has written
// nothing for four seconds. It returns what had been written by then.
func settled(t *testing.T, pid int) int64 {
	t.Helper()
	last, since := written(t, pid), time.Now()
	for deadline := since.Add(patience); time.Since(since) < 4*time.Second; time.Sleep(100 * time.Millisecond) {
		if n := written(t, pid); n != last {
			last, since = n, time.Now()
		}
		if time.Now().After(deadline) {
			t.Fatalf("the box has not stopped writing for %v", patience)
		}
	}
	return last
}

// written is what a process had the kernel write: the counter of the block
// layer does not see files in memory, so it is what it handed to write calls on
// them, which are on the disk of a real box.
func written(t *testing.T, pid int) int64 {
	t.Helper()
	return field(t, "/proc/"+strconv.Itoa(pid)+"/io", "write_bytes:") + dirtied(t, pid)
}

// dirtied adds up sizes and times of change of the files in the box's folder.
func dirtied(t *testing.T, pid int) (sum int64) {
	t.Helper()
	dir := "/proc/" + strconv.Itoa(pid) + "/root/var/lib/signalbox"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Size() + info.ModTime().UnixNano()
		}
	}
	return sum
}

// wakeUps counts how often a process that slept began to run: its threads ran
// after a pause of 20 ms or more. One wake-up makes several threads run.
func wakeUps(t *testing.T, pid int, d time.Duration) (n int) {
	t.Helper()
	ran, slept := ranFor(t, pid), 10
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		now := ranFor(t, pid)
		switch {
		case now == ran:
			slept++
		case slept >= 10:
			n++
			slept = 0
		default:
			slept = 0
		}
		ran = now
	}
	return n
}

// ranFor is how long all threads of a process were on a processor, in ns.
func ranFor(t *testing.T, pid int) (sum int64) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + task.Name() + "/schedstat")
		if err != nil {
			continue // it has just ended
		}
		ns, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		sum += n
	}
	return sum
}

// field is a number behind its name in a file of /proc.
func field(t *testing.T, path, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return 0
}
