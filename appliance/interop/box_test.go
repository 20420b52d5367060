//go:build linux && interop

package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signalbox/internal/netlab"
)

// Bounds for two busy cores. A box is far quicker when nothing else runs.
const (
	readyTimeout = 30 * time.Second
	stopTimeout  = 15 * time.Second
)

// box is the real program, serving.
type box struct {
	t      *testing.T
	on     *netlab.Host // nil: this machine itself, on loopback
	data   string       // its data folder
	config string       // its configuration file
	listen []string     // flags that say where; the bound ports from the second start on
	other  []string     // another program than the one for this machine, with what runs it

	ready  readyLine
	log    *output // what it has printed on standard error, over all its starts
	cmd    *exec.Cmd
	stdout chan []byte
	exited chan struct{} // closed when the process has ended
}

// readyLine is what --ready-json prints.
type readyLine struct {
	HTTP, HTTPS, TURN, TURNS []string
	Data, Version            string
}

// newBox makes a box with some configuration that does not run yet. On a host
// it has the default ports to itself; else it takes free ones on loopback and
// does not announce itself to the network of this machine.
func newBox(t *testing.T, on *netlab.Host, config string) *box {
	t.Helper()
	dir := t.TempDir()
	b := &box{t: t, on: on, data: filepath.Join(dir, "data"), config: filepath.Join(dir, "site.toml"), log: new(output)}
	if on == nil {
		b.listen = []string{"--http=127.0.0.1:0", "--https=127.0.0.1:0", "--turn=127.0.0.1:0"}
		config += "\n[discovery]\nenabled = false\n"
	}
	if err := os.WriteFile(b.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cleanup)
	return b
}

// startBox is newBox, serving.
func startBox(t *testing.T, on *netlab.Host, config string) *box {
	t.Helper()
	b := newBox(t, on, config)
	b.start()
	return b
}

// launch starts the process and does not wait for it.
func (b *box) launch(flags ...string) {
	b.t.Helper()
	args := append([]string{"serve", "--data", b.data, "--ready-json"}, b.listen...)
	b.cmd = command(b.on, b.config, append(args, flags...)...)
	if b.other != nil {
		b.cmd.Path, b.cmd.Args = b.other[0], append(slices.Clone(b.other), b.cmd.Args[1:]...)
	}
	b.cmd.Stderr = b.log
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.stdout, b.exited = make(chan []byte, 16), make(chan struct{})
	go func(cmd *exec.Cmd, lines chan<- []byte, exited chan<- struct{}) {
		defer close(exited)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			lines <- bytes.Clone(in.Bytes())
		}
		close(lines)
		_ = cmd.Wait()
	}(b.cmd, b.stdout, b.exited)
}

// start launches the box and waits until it serves. From then on it keeps the
// ports it has got.
func (b *box) start(flags ...string) {
	b.t.Helper()
	b.launch(flags...)
	b.awaitReady()
}

func (b *box) awaitReady() {
	b.t.Helper()
	select {
	case line, ok := <-b.stdout:
		if !ok {
			b.t.Fatalf("the box ended before it served:\n%s", b.log)
		}
		b.ready = readyLine{}
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&b.ready); err != nil {
			b.t.Fatalf("ready line %q: %v", line, err)
		}
	case <-time.After(readyTimeout):
		b.t.Fatalf("the box does not serve after %v:\n%s", readyTimeout, b.log)
	}
	if b.on == nil {
		b.listen = []string{"--http=" + b.ready.HTTP[0], "--https=" + b.ready.HTTPS[0], "--turn=" + b.ready.TURN[0]}
	}
}

// pid is the process id of the box itself: nsenter has become it.
func (b *box) pid() int { return b.cmd.Process.Pid }

// kill ends the box as the OOM killer would.
func (b *box) kill() {
	b.t.Helper()
	if err := b.cmd.Process.Kill(); err != nil {
		b.t.Error(err)
	}
	<-b.exited
}

// stop asks the box to end and returns its exit code and how long it took.
func (b *box) stop() (code int, took time.Duration) {
	b.t.Helper()
	began := time.Now()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		b.t.Error(err)
	}
	select {
	case <-b.exited:
	case <-time.After(stopTimeout):
		b.t.Errorf("the box still runs %v after SIGTERM; its goroutines:\n%s", stopTimeout, b.stacks())
	}
	return b.cmd.ProcessState.ExitCode(), time.Since(began)
}

// stacks ends the box with SIGQUIT, upon which Go prints every goroutine.
func (b *box) stacks() string {
	from := len(b.log.String())
	_ = b.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-b.exited:
	case <-time.After(5 * time.Second):
		b.kill()
	}
	return b.log.String()[from:]
}

// cleanup stops the box and looks through its log for what no test is for.
func (b *box) cleanup() {
	if b.running() {
		if code, _ := b.stop(); code != 0 {
			b.t.Errorf("the box ended with exit code %d", code)
		}
	}
	said := b.log.String()
	if strings.Contains(said, "level=ERROR") || strings.Contains(said, "panic: ") || strings.Contains(said, "fatal error: ") {
		b.t.Error("the box logged an error")
	}
	if b.t.Failed() {
		b.t.Logf("the box said:\n%s", said)
	}
}

func (b *box) running() bool {
	if b.cmd == nil {
		return false
	}
	select {
	case <-b.exited:
		return false
	default:
		return true
	}
}

// at is one of the addresses of the ready line as others reach it.
func (b *box) at(addr string) string {
	b.t.Helper()
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		b.t.Fatal(err)
	}
	if ap.Addr().IsUnspecified() {
		ap = netip.AddrPortFrom(b.on.IPv4(), ap.Port())
	}
	return ap.String()
}

func (b *box) http() string      { return b.at(b.ready.HTTP[0]) }
func (b *box) https() string     { return b.at(b.ready.HTTPS[0]) }
func (b *box) signalURL() string { return "ws://" + b.http() + "/v1/signal" }

// command is the program on a host, in an environment that says nothing about
// boxes but config. It dies with this process.
func command(on *netlab.Host, config string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), program, args...) // the test's cleanup ends it
	if on != nil {
		cmd = on.Command(context.Background(), program, args...)
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SIGNALBOX_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "SIGNALBOX_CONFIG="+config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// try runs a command for the box and returns what it printed and its exit code.
func (b *box) try(args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	cmd := command(b.on, b.config, args...)
	if args[0] != "discover" {
		cmd.Args = append(cmd.Args, "--data", b.data)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	stuck := time.AfterFunc(readyTimeout, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	_ = cmd.Wait()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// cli runs a command for the box that must succeed.
func (b *box) cli(args ...string) string {
	b.t.Helper()
	stdout, stderr, code := b.try(args...)
	if code != 0 {
		b.t.Fatalf("signalbox %s: exit code %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return strings.TrimSpace(stdout)
}

// cliJSON is cli with --json, decoded.
func cliJSON[T any](b *box, args ...string) (v T) {
	b.t.Helper()
	out := b.cli(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		b.t.Fatalf("signalbox %s printed %q: %v", strings.Join(args, " "), out, err)
	}
	return v
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

func waitFor(t *testing.T, what string, within time.Duration, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", within, what)
		}
	}
}
