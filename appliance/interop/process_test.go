//go:build linux && interop

package interop_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Bounds for two busy cores. A box is far quicker when nothing else runs.
const (
	readyTimeout = 30 * time.Second
	stopTimeout  = 15 * time.Second
)

// process is the program while it serves, as a box or as a cloud node.
type process struct {
	t    *testing.T
	what string // "the box"

	log    output // what it has printed on standard error, over all its starts
	cmd    *exec.Cmd
	stdout chan []byte
	exited chan struct{} // closed when the process has ended
}

// begin starts the process and does not wait for it to serve.
func (p *process) begin(cmd *exec.Cmd) {
	p.t.Helper()
	p.cmd = cmd
	p.cmd.Stderr = &p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.stdout, p.exited = make(chan []byte, 16), make(chan struct{})
	go func(cmd *exec.Cmd, lines chan<- []byte, exited chan<- struct{}) {
		defer close(exited)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			lines <- bytes.Clone(in.Bytes())
		}
		close(lines)
		_ = cmd.Wait()
	}(p.cmd, p.stdout, p.exited)
}

// firstLine waits for what --ready-json prints.
func (p *process) firstLine(into any) {
	p.t.Helper()
	select {
	case line, ok := <-p.stdout:
		if !ok {
			p.t.Fatalf("%s ended before it served:\n%s", p.what, &p.log)
		}
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			p.t.Fatalf("ready line %q: %v", line, err)
		}
	case <-time.After(readyTimeout):
		p.t.Fatalf("%s does not serve after %v:\n%s", p.what, readyTimeout, &p.log)
	}
}

// pid is the process id of the program itself: nsenter has become it.
func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends it as the OOM killer would.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(err)
	}
	<-p.exited
}

// stop asks it to end and returns its exit code and how long it took.
func (p *process) stop() (code int, took time.Duration) {
	p.t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		p.t.Errorf("%s still runs %v after SIGTERM; its goroutines:\n%s", p.what, stopTimeout, p.stacks())
	}
	return p.cmd.ProcessState.ExitCode(), time.Since(began)
}

// stacks ends it with SIGQUIT, upon which Go prints every goroutine.
func (p *process) stacks() string {
	from := len(p.log.String())
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
		p.kill()
	}
	return p.log.String()[from:]
}

// cleanup stops it and looks through its log for what no test is for.
func (p *process) cleanup() {
	if p.running() {
		if code, _ := p.stop(); code != 0 {
			p.t.Errorf("%s ended with exit code %d", p.what, code)
		}
	}
	said := p.log.String()
	if strings.Contains(said, "level=ERROR") || strings.Contains(said, "panic: ") || strings.Contains(said, "fatal error: ") {
		p.t.Errorf("%s logged an error", p.what)
	}
	if p.t.Failed() {
		p.t.Logf("%s said:\n%s", p.what, said)
	}
}

func (p *process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// output collects what a process prints while others look at it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
