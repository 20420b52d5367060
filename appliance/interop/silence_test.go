//go:build linux && interop

package interop_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"signalbox/appliance/loadgen"
	"signalbox/internal/netlab"
)

// TestSocketsThatSayNothing opens 200 connections that never come to the
// point. They are shut in time, and meanwhile cost little and disturb nobody.
func TestSocketsThatSayNothing(t *testing.T) {
	t.Parallel()
	const sockets, halfRequests, silents = 120, 40, 40
	b := startBox(t, nil, "[signaling]\nhello_timeout = \"2s\"\n")
	camera, panel := b.device("camera"), b.device("panel")
	camera.join("line-3")
	panel.join("line-3")
	camera.tell("line-3", "before")
	panel.hear("before")
	before := b.memory()

	ends := make(chan farewell, sockets)
	for range sockets {
		s := b.socket()
		go func() { ends <- s.drain(patience) }()
	}
	var shut sync.WaitGroup
	for i := range halfRequests + silents {
		text := "GET /v1/signal HTTP/1.1\r\nHost: box\r\nUpgr"
		if i < silents {
			text = ""
		}
		conn := silent(t, b.http(), text)
		shut.Go(func() {
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("a connection with half a request (%d bytes) was not shut: %v", len(text), err)
			}
		})
	}
	during := b.memory()
	t.Logf("resident: %d KiB, with 200 silent connections %d KiB", before>>10, during>>10)
	if grown := during - before; grown > 16<<20 {
		t.Errorf("200 silent connections cost %d bytes", grown)
	}
	for n := range 20 {
		text, began := fmt.Sprint("meanwhile ", n), time.Now()
		camera.tell("line-3", text)
		panel.hear(text)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a message took %v while strangers were silent", took)
		}
	}
	for range sockets {
		if end := <-ends; end.code != 4001 || end.closing.Error != "hello_timeout" {
			t.Errorf("a socket without hello was closed with %d %s, want 4001 hello_timeout", end.code, end.closing.Error)
		}
	}
	shut.Wait()
	if got := b.metric("signalbox_signaling_closed_total", `code="4001"`); got != sockets {
		t.Errorf("metrics count %v sockets closed with 4001, want %d", got, sockets)
	}
	if s := b.status(); s.Conns != 2 || s.Sessions != 2 {
		t.Errorf("%d sockets and %d sessions are left, want those of the two devices", s.Conns, s.Sessions)
	}
}

// TestUnpluggedDevices pulls the cables of two devices. The others see them
// suspended within dead_ms; one is plugged in again in time and resumes with
// nothing lost, the other one leaves when its window ends.
func TestUnpluggedDevices(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "panel")
	b := startBox(t, lab.Host("box"), "[signaling]\nping_every = \"1s\"\nresume_window = \"8s\"\n")
	panel := b.device("panel", from(lab.Host("panel")))
	panel.join("line-3")
	cables := map[string]*netlab.Link{}
	devices := map[string]*device{}
	for _, name := range []string{"camera", "robot"} {
		cables[name] = lab.Host(name).Attach(lab.Segment(netlab.DefaultSegment))
		devices[name] = b.device(name, from(lab.Host(name)))
		devices[name].send(loadgen.Send{Type: "join", ID: 1, Room: "line-3", Will: []byte(`"` + name + ` is gone"`)})
		devices[name].await("joined")
		panel.awaitPresence(devices[name].Member(), "online")
	}
	camera, robot := devices["camera"], devices["robot"]
	dead := time.Duration(panel.welcome.DeadMS) * time.Millisecond

	time.Sleep(500 * time.Millisecond) // so that both are acknowledged, and quiet
	pulled := time.Now()
	cables["camera"].Unplug()
	cables["robot"].Unplug()
	waitSuspended(panel, camera, robot)
	if took := time.Since(pulled); took > dead+2*time.Second {
		t.Errorf("suspended %v after the cables were pulled, want within %v", took, dead)
	} else {
		t.Logf("suspended %v after the cables were pulled; dead_ms is %v", took.Round(time.Millisecond), dead)
	}
	for n := range 5 {
		panel.tell("line-3", fmt.Sprint("while away ", n))
		camera.tell("line-3", fmt.Sprint("from afar ", n))
	}
	cables["camera"].Plug()
	if w := camera.await("welcome"); !w.Resumed {
		t.Errorf("the camera was not resumed: %s", w.Reason)
	}
	for n := range 5 {
		camera.hear(fmt.Sprint("while away ", n))
		panel.hear(fmt.Sprint("from afar ", n))
	}
	gone := panel.awaitThat("the robot's will", func(f loadgen.Frame) bool { return f.Type == "message" && f.Will })
	if gone.From != robot.Member() || string(gone.Data) != `"robot is gone"` {
		t.Errorf("the will is %s from %s, want the robot's", gone.Data, gone.From)
	}
	t.Logf("the robot left %v after its cable was pulled", time.Since(pulled).Round(time.Millisecond))

	cables["robot"].Plug()
	if w := robot.await("welcome"); w.Resumed || w.Reason != "expired" {
		t.Errorf("the robot's welcome says resumed %v for reason %q, want false for expired", w.Resumed, w.Reason)
	}
	if c := camera.Counts(); c.Gaps != 0 || c.Reset != 0 || c.Resumes != 1 {
		t.Errorf("camera: %+v, want one resume and nothing else", c)
	}
}

// from makes a device dial from a host, and give up dialing before a kernel
// without a route back would.
func from(h *netlab.Host) func(*loadgen.Options) {
	return func(o *loadgen.Options) {
		o.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancel()
			return h.DialContext(ctx, network, addr)
		}
	}
}

// waitSuspended waits until a device has seen others suspended, in any order.
func waitSuspended(d *device, others ...*device) {
	d.t.Helper()
	missing := map[string]bool{}
	for _, o := range others {
		missing[o.Member()] = true
	}
	d.awaitThat("everyone unplugged to be suspended", func(f loadgen.Frame) bool {
		if m, ok := memberOf(f); ok && m.State == "suspended" {
			delete(missing, m.Member)
		}
		return len(missing) == 0
	})
}

// TestIdle leaves a box alone, first empty and then with devices that are only
// there: it writes nothing to its file and its memory stays as it is.
func TestIdle(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, "[signaling]\nping_every = \"1s\"\n")
	if b.written() == 0 {
		t.Log("this file system does not count written bytes; commits are counted all the same")
	}
	b.rest("empty")
	for n := range 20 {
		d := b.device(fmt.Sprint("device-", n))
		d.join("line-3")
	}
	b.rest("with 20 devices")
}

// rest watches an idle box for some seconds.
func (b *box) rest(what string) {
	b.t.Helper()
	const rest = 6 * time.Second
	time.Sleep(1500 * time.Millisecond) // what the last change has left to do
	written, commits, memory := b.written(), b.metric("signalbox_store_commits_total", ""), b.memory()
	time.Sleep(rest)
	nowWritten, nowMemory := b.written(), b.memory()
	nowCommits := b.metric("signalbox_store_commits_total", "")
	b.t.Logf("%s: %d KiB resident, %d KiB %v later", what, memory>>10, nowMemory>>10, rest)
	if nowWritten != written || nowCommits != commits {
		b.t.Errorf("%s: wrote %d bytes to files in %v of idleness, in %v commits", what, nowWritten-written, rest, nowCommits-commits)
	}
	if nowMemory > memory+3<<20 {
		b.t.Errorf("%s: memory grew from %d to %d bytes in %v of idleness", what, memory, nowMemory, rest)
	}
}

// memory is how much of the box is resident, in bytes.
func (b *box) memory() int64 { return 1024 * b.proc("status", `(?m)^VmRSS:\s+(\d+) kB$`) }

// written is how many bytes the box has caused to be written to a disk.
func (b *box) written() int64 { return b.proc("io", `(?m)^write_bytes: (\d+)$`) }

// proc finds a number in a file of the box's process.
func (b *box) proc(file, pattern string) int64 {
	b.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", b.pid(), file))
	if err != nil {
		b.t.Fatal(err)
	}
	found := regexp.MustCompile(pattern).FindSubmatch(text)
	if found == nil {
		b.t.Fatalf("/proc/PID/%s has no %s:\n%s", file, pattern, text)
	}
	n, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}
