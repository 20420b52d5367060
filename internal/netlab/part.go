//go:build linux

package netlab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Part is a copy of the test binary that plays a role on a host, see Self. The
// two talk in lines of JSON; the part ends when its standard input does.
type Part struct {
	tb    testing.TB
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan []byte
	ended bool
}

// endTimeout is how long a part may take to finish before it is killed.
const endTimeout = 20 * time.Second

// Play starts a role on h, with arg as JSON for its only argument. The part
// ends with the test at the latest, and fails it unless it ends well.
func Play(tb testing.TB, h *Host, role string, arg any) *Part {
	tb.Helper()
	text, err := json.Marshal(arg)
	if err != nil {
		tb.Fatal(err)
	}
	p := &Part{tb: tb, name: role + " on " + h.Name, cmd: h.Self(context.Background(), role, string(text))}
	p.cmd.Env = append(p.cmd.Env, "GORACE=atexit_sleep_ms=0") // it would sleep a second
	stderr := new(bytes.Buffer)
	p.cmd.Stderr = stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	p.lines = make(chan []byte, 1000)
	go func() {
		defer close(p.lines)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			p.lines <- bytes.Clone(in.Bytes())
		}
	}()
	tb.Cleanup(func() {
		p.End()
		if tb.Failed() || strings.Contains(stderr.String(), "DATA RACE") {
			tb.Errorf("%s said:\n%s", p.name, stderr)
		}
	})
	return p
}

// Say sends the part a line of JSON.
func (p *Part) Say(v any) {
	p.tb.Helper()
	line, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(p.stdin, "%s\n", line)
	}
	if err != nil {
		p.tb.Fatalf("%s: %v", p.name, err)
	}
}

// Lines are what the part prints. The channel is closed when it ends.
func (p *Part) Lines() <-chan []byte { return p.lines }

// End lets the part finish and wants no complaint from it.
func (p *Part) End() {
	p.tb.Helper()
	if p.ended {
		return
	}
	p.ended = true
	p.stdin.Close()
	stuck := time.AfterFunc(endTimeout, func() { _ = p.cmd.Process.Kill() })
	defer stuck.Stop()
	for range p.lines {
	}
	if err := p.cmd.Wait(); err != nil {
		p.tb.Errorf("%s: %v", p.name, err)
	}
}

// Kill ends the part as a power cut does.
func (p *Part) Kill() {
	p.ended = true
	_ = p.cmd.Process.Kill()
	for range p.lines {
	}
	_ = p.cmd.Wait()
}

// Await reads the part's lines as values of type T until one is as wanted.
func Await[T any](p *Part, what string, within time.Duration, ok func(T) bool) T {
	p.tb.Helper()
	timeout := time.After(within)
	var seen []string
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				p.tb.Fatalf("%s ended before %s; it printed:\n%s", p.name, what, strings.Join(seen, "\n"))
			}
			var v T
			if err := json.Unmarshal(line, &v); err != nil {
				p.tb.Fatalf("%s printed %q: %v", p.name, line, err)
			}
			if ok(v) {
				return v
			}
			seen = append(seen, string(line))
		case <-timeout:
			p.tb.Fatalf("%s: waited %v for %s; it printed:\n%s", p.name, within, what, strings.Join(seen, "\n"))
		}
	}
}
