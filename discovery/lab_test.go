//go:build linux

package discovery_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"signalbox/discovery"
	"signalbox/internal/netlab"
)

// The library's announcer cannot be waited for; it ends by itself.
var announcer = goleak.IgnoreAnyFunction("github.com/grandcat/zeroconf.(*Server).probe")

// TestMain also plays the parts that the tests put on hosts of their own: code
// that starts goroutines must be a process inside the namespace.
func TestMain(m *testing.M) {
	var part func(context.Context, string) error
	switch netlab.Role() {
	case "box":
		part = playBox
	case "browser":
		part = playBrowser
	default:
		goleak.VerifyTestMain(m, announcer)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	err := part(ctx, os.Args[1])
	if err == nil {
		err = goleak.Find(announcer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// boxPart is what a box is started with.
type boxPart struct {
	Config       discovery.Config
	Announcement discovery.Announcement
}

// playBox runs a Responder until standard input ends. A line on it is another
// announcement; every new status is printed.
func playBox(ctx context.Context, arg string) error {
	var part boxPart
	if err := json.Unmarshal([]byte(arg), &part); err != nil {
		return err
	}
	part.Config.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r, err := discovery.New(part.Config, part.Announcement)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "Run:", err)
		}
	})
	running.Go(func() {
		var last []byte
		for ctx.Err() == nil {
			if now, _ := json.Marshal(r.Status()); !bytes.Equal(now, last) {
				fmt.Printf("%s\n", now)
				last = now
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var a discovery.Announcement
		if err := json.Unmarshal(in.Bytes(), &a); err != nil {
			return err
		}
		if err := r.Update(a); err != nil {
			return err
		}
	}
	stop()
	running.Wait()
	return nil
}

// playBrowser prints the events of a Browse until standard input ends.
func playBrowser(ctx context.Context, arg string) error {
	var opts discovery.BrowseOptions
	if err := json.Unmarshal([]byte(arg), &opts); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	})
	for event := range discovery.Browse(ctx, opts) {
		line, err := json.Marshal(event)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", line)
	}
	waiting.Wait()
	return nil
}

// process is a part played on a host. Its lines arrive on a channel.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan []byte
	ended bool
}

func play(t *testing.T, h *netlab.Host, role string, arg any) *process {
	t.Helper()
	text, err := json.Marshal(arg)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: role + " on " + h.Name, cmd: h.Self(context.Background(), role, string(text))}
	p.cmd.Env = append(p.cmd.Env, "GORACE=atexit_sleep_ms=0") // it would sleep a second
	stderr := new(bytes.Buffer)
	p.cmd.Stderr = stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines = make(chan []byte, 1000)
	go func() {
		defer close(p.lines)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			p.lines <- bytes.Clone(in.Bytes())
		}
	}()
	t.Cleanup(func() {
		p.end()
		if t.Failed() || strings.Contains(stderr.String(), "DATA RACE") {
			t.Errorf("%s said:\n%s", p.name, stderr)
		}
	})
	return p
}

// say sends the part a line of JSON.
func (p *process) say(v any) {
	p.t.Helper()
	line, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(p.stdin, "%s\n", line)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// end lets the part finish and wants no complaint from it.
func (p *process) end() {
	p.t.Helper()
	if p.ended {
		return
	}
	p.ended = true
	p.stdin.Close()
	for range p.lines {
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s: %v", p.name, err)
	}
}

// kill ends the part as a power cut does.
func (p *process) kill() {
	p.ended = true
	p.cmd.Process.Kill()
	for range p.lines {
	}
	p.cmd.Wait()
}

// await reads lines as values of type T until one is as wanted.
func await[T any](p *process, what string, within time.Duration, ok func(T) bool) T {
	p.t.Helper()
	timeout := time.After(within)
	var seen []string
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				p.t.Fatalf("%s ended before %s; it printed:\n%s", p.name, what, strings.Join(seen, "\n"))
			}
			var v T
			if err := json.Unmarshal(line, &v); err != nil {
				p.t.Fatalf("%s printed %q: %v", p.name, line, err)
			}
			if ok(v) {
				return v
			}
			seen = append(seen, string(line))
		case <-timeout:
			p.t.Fatalf("%s: waited %v for %s; it printed:\n%s", p.name, within, what, strings.Join(seen, "\n"))
		}
	}
}
