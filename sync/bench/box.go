//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	devices = 100
	// warmUp is left out of what is measured: the join, the first connection, and
	// the first frames, which tell everything.
	warmUp = time.Minute
	day    = 24 * time.Hour
	// headers of a segment on Ethernet: MAC 14, IPv4 20, TCP with timestamps 32.
	headers = 14 + 20 + 32
)

// counter is a TCP proxy between a box and the cloud that counts what an
// interface would: TCP tells payload and segments of each connection, either way.
type counter struct {
	listener net.Listener
	to       string
	g        sync.WaitGroup

	mu    sync.Mutex
	live  map[*net.TCPConn]*net.TCPConn // the box's side, and the cloud's
	ended int64                         // bytes of connections that have ended
}

func newCounter(to string) (*counter, error) {
	// The cloud's own setting: each probe of the proxy would count.
	config := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 4 * time.Minute, Interval: 15 * time.Second, Count: 4}}
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{listener: l, to: to, live: map[*net.TCPConn]*net.TCPConn{}}
	c.g.Go(c.accept)
	return c, nil
}

func (c *counter) accept() {
	for {
		box, err := c.listener.Accept()
		if err != nil {
			return
		}
		cloud, err := net.Dial("tcp", c.to) //nolint:noctx // on loopback
		if err != nil {
			_ = box.Close()
			continue
		}
		near, far := box.(*net.TCPConn), cloud.(*net.TCPConn)
		c.mu.Lock()
		c.live[near] = far
		c.mu.Unlock()
		c.g.Go(func() { c.copy(far, near, near) })
		c.g.Go(func() { c.copy(near, far, near) })
	}
}

// copy ends both ways when one has ended.
func (c *counter) copy(to io.Writer, from io.Reader, near *net.TCPConn) {
	_, _ = io.Copy(to, from)
	c.mu.Lock()
	defer c.mu.Unlock()
	if far, ok := c.live[near]; ok {
		c.ended += carried(near)
		delete(c.live, near)
		_, _ = near.Close(), far.Close()
	}
}

// carried is what a connection has put on the wire, both ways.
func carried(conn *net.TCPConn) (bytes int64) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			bytes = int64(info.Bytes_sent) + int64(info.Bytes_received) + headers*(int64(info.Segs_out)+int64(info.Segs_in))
		}
	})
	return bytes
}

func (c *counter) total() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.ended
	for near := range c.live {
		n += carried(near)
	}
	return n
}

func (c *counter) close() {
	_ = c.listener.Close()
	c.mu.Lock()
	for near, far := range c.live {
		_, _ = near.Close(), far.Close()
	}
	c.mu.Unlock()
	c.g.Wait()
}

// box is a real one.
type box struct {
	*process
	name, data string
	way        *counter // nil: it has not joined
	http       string
}

// newBox starts a box, and has it join the node when it is to.
func (b *bench) newBox(ctx context.Context, dir, name string, n *node) (*box, error) {
	x := &box{name: name, data: filepath.Join(dir, name)}
	config := filepath.Join(dir, name+".toml")
	if err := os.WriteFile(config, []byte("[discovery]\nenabled = false\n"), 0o600); err != nil {
		return nil, err
	}
	var ready struct {
		HTTP []string `json:"http"`
	}
	var err error
	x.process, err = launch(ctx, b.program, filepath.Join(dir, name+".log"), &ready,
		"serve", "--config", config, "--data", x.data, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--turn", "127.0.0.1:0", "--ready-json")
	if err != nil {
		return nil, err
	}
	x.http = ready.HTTP[0]
	if n == nil {
		return x, nil
	}
	if x.way, err = newCounter(n.url[len("https://"):]); err != nil {
		return x, err
	}
	invited, err := n.admin.Invite(ctx, name)
	if err != nil {
		return x, err
	}
	out, err := exec.CommandContext(ctx, b.program, "join", "https://"+x.way.listener.Addr().String(),
		"--token", invited.Token, "--ca", invited.CA, "--data", x.data).CombinedOutput()
	if err != nil {
		return x, fmt.Errorf("join: %w: %s", err, out)
	}
	return x, nil
}

func (x *box) end() {
	x.stop()
	if x.way != nil {
		x.way.close()
	}
}

// measureBox runs a box that has not joined, one that has and is idle, and one
// with devices, side by side, and compares.
func (b *bench) measureBox(ctx context.Context, dir string) error {
	dir = filepath.Join(dir, "cost")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	n, err := newNode(ctx, b.program, dir)
	if err != nil {
		return err
	}
	defer func() { n.stop() }()
	var boxes []*box
	for _, name := range []string{"alone", "idle", "busy", "alone-busy"} {
		to := n
		if name == "alone" || name == "alone-busy" {
			to = nil
		}
		x, err := b.newBox(ctx, dir, name, to)
		if x != nil {
			defer x.end()
		}
		if err != nil {
			return err
		}
		boxes = append(boxes, x)
	}
	loading, end := context.WithCancel(ctx)
	var g sync.WaitGroup
	defer func() { end(); g.Wait() }()
	for _, x := range boxes[2:] {
		g.Go(func() {
			cmd := exec.CommandContext(loading, b.program, "bench", "--url", "ws://"+x.http+"/v1/signal", "--conns", fmt.Sprint(devices),
				"--rate", "10", "--bytes", "800", "--duration", min(b.cost+10*time.Minute, time.Hour).String(), "--data", x.data)
			if out, err := cmd.CombinedOutput(); loading.Err() == nil {
				fmt.Fprintf(os.Stderr, "load of %s has ended: %v\n%s", x.name, err, out)
			}
		})
	}
	sleep(ctx, warmUp)
	return b.compare(ctx, boxes)
}

// compare measures over cost less warmUp, and reckons up to a day.
func (b *bench) compare(ctx context.Context, boxes []*box) error {
	type state struct {
		usage
		way int64
	}
	look := func() ([]state, error) {
		var all []state
		for _, x := range boxes {
			u, err := x.usage()
			if err != nil {
				return nil, err
			}
			s := state{usage: u}
			if x.way != nil {
				s.way = x.way.total()
			}
			all = append(all, s)
		}
		return all, nil
	}
	before, err := look()
	if err != nil {
		return err
	}
	sleep(ctx, b.cost-warmUp)
	after, err := look()
	if err != nil {
		return err
	}
	took := after[0].at.Sub(before[0].at)
	daily := func(n int64) float64 { return float64(n) / 1e6 * float64(day) / float64(took) }
	over := fmt.Sprintf(" (%s, reckoned up to a day)", took.Round(time.Second))
	idle, busy := daily(after[1].way-before[1].way), daily(after[2].way-before[2].way)
	b.check("bytes of an idle site and day, with Ethernet headers"+over, fmt.Sprintf("%.2f MB", idle), "≤ 0.5 MB", idle <= 0.5)
	b.check(fmt.Sprintf("bytes of a site with %d devices and day", devices), fmt.Sprintf("%.2f MB", busy), "≤ 2 MB", busy <= 2)
	for _, pair := range []struct {
		name         string
		joined, only int
	}{{"idle", 1, 0}, {"busy", 2, 3}} {
		more := float64(after[pair.joined].rss-after[pair.only].rss) / 1e6
		b.check("memory of the link, "+pair.name+" box", fmt.Sprintf("%.1f MB (%.1f with, %.1f without)", more, float64(after[pair.joined].rss)/1e6, float64(after[pair.only].rss)/1e6), "≤ 10 MB", more <= 10)
		wrote := daily((after[pair.joined].wrote - before[pair.joined].wrote) - (after[pair.only].wrote - before[pair.only].wrote))
		if what := "written by the link a day, " + pair.name + " box"; wrote < 0 { // the store's own writes differ by more than the link's
			b.note(what, "lost among what the two boxes write by themselves", "≤ 100 MB")
		} else {
			b.check(what, fmt.Sprintf("%.1f MB", wrote), "≤ 100 MB", wrote <= 100)
		}
	}
	return nil
}
