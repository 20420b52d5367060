//go:build linux && interop

package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"signalbox/internal/netlab"
)

// box is the real program, serving.
type box struct {
	process
	on     *netlab.Host // nil: this machine itself, on loopback
	data   string       // its data folder
	config string       // its configuration file
	listen []string     // flags that say where; the bound ports from the second start on
	other  []string     // another program than the one for this machine, with what runs it

	ready readyLine
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
	b := &box{process: process{t: t, what: "the box"}, on: on, data: filepath.Join(dir, "data"), config: filepath.Join(dir, "site.toml")}
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
	cmd := command(b.on, b.config, append(args, flags...)...)
	if b.other != nil {
		cmd.Path, cmd.Args = b.other[0], append(slices.Clone(b.other), cmd.Args[1:]...)
	}
	b.begin(cmd)
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
	b.ready = readyLine{}
	b.firstLine(&b.ready)
	if b.on == nil {
		b.listen = []string{"--http=" + b.ready.HTTP[0], "--https=" + b.ready.HTTPS[0], "--turn=" + b.ready.TURN[0]}
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
	return ran(b.t, cmd)
}

// ran runs a command to its end.
func ran(t *testing.T, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
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

func waitFor(t *testing.T, what string, within time.Duration, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", within, what)
		}
	}
}
