//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// contestant is a server under measurement.
type contestant struct {
	name    string
	login   func() login
	command func(dir string) (name string, args []string)
	relays  bool // speaks TURN
	tidies  bool // returns its garbage at SIGUSR1
}

const (
	ours    = "ours"
	pion    = "pion"
	coturn  = "coturn"
	barefwd = "forwarder"
)

var contestants = []contestant{
	{name: ours, login: relayLogin, command: self("serve-relay"), relays: true, tidies: true},
	{name: pion, login: staticLogin, command: self("serve-pion"), relays: true, tidies: true},
	{name: coturn, login: staticLogin, command: coturnCommand, relays: true},
	{name: barefwd, command: self("serve-forwarder")},
}

func self(role string) func(string) (string, []string) {
	return func(string) (string, []string) {
		return "/proc/self/exe", []string{role, serverListen.String(), relayAddr.String()}
	}
}

// coturnCommand has one relay thread, as coturn itself chooses for one core.
func coturnCommand(dir string) (string, []string) {
	return "turnserver", []string{
		"-n", "-m", "1", "--no-tls", "--no-dtls", "--no-cli", "--lt-cred-mech",
		"--user=" + benchUser + ":" + benchPassword, "--realm=" + benchRealm,
		"--listening-ip=" + serverAddr.String(), "--relay-ip=" + relayAddr.String(),
		fmt.Sprintf("--listening-port=%d", serverListen.Port()),
		"--log-file=/dev/null", "--no-stdout-log",
		"--pidfile=" + filepath.Join(dir, "pid"), "--userdb=" + filepath.Join(dir, "db"),
	}
}

// server is a contestant's process.
type server struct {
	contestant
	cmd    *exec.Cmd
	dir    string // its state, removed with it
	output bytes.Buffer
}

// start runs a contestant on the server's host and core. It may not listen yet
// when start returns: clients ask again.
func (b *bench) start(ctx context.Context, c contestant) (*server, error) {
	dir, err := os.MkdirTemp("", "relay-bench-")
	if err != nil {
		return nil, err
	}
	s := &server{contestant: c, dir: dir}
	name, args := c.command(dir)
	s.cmd = exec.CommandContext(ctx, name, args...)
	s.cmd.Dir = dir
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	err = b.lab.server.do(func() error { return onCore(b.serverCore, s.cmd.Start) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", c.name, err), os.RemoveAll(dir))
	}
	if err := prioritize(s.cmd.Process.Pid, b.nice); err != nil {
		return nil, s.failed(err)
	}
	return s, nil
}

// prioritize sets the priority of a session's processes against those of
// others, where the kernel groups them so; within the session each has its own,
// which children inherit.
func prioritize(pid, nice int) error {
	path := filepath.Join("/proc", strconv.Itoa(pid), "autogroup")
	if nice == 0 {
		return nil
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(nice)), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("set the priority of a session: %w", err)
	}
	return nil
}

// onCore runs f on one core; a process started by it stays there. The calling
// goroutine keeps its thread.
func onCore(core int, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("get affinity: %w", err)
	}
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("set affinity to core %d: %w", core, err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	return f()
}

// stop ends the process and removes its state.
func (s *server) stop() error {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // says that it was killed
	return os.RemoveAll(s.dir)
}

// failed stops the server and adds to err the end of what it wrote.
func (s *server) failed(err error) error {
	err = errors.Join(err, s.stop())
	text := s.output.Bytes()
	return fmt.Errorf("%w; it wrote last: %q", err, text[max(0, len(text)-500):])
}

// tidy has the server return its garbage, if it has any.
func (s *server) tidy() error {
	if !s.tidies {
		return nil
	}
	return s.cmd.Process.Signal(syscall.SIGUSR1)
}

// resident is the memory of the process, in bytes.
func (s *server) resident() (float64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "smaps_rollup"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Rss:" {
			kb, err := strconv.ParseFloat(fields[1], 64)
			return kb * 1024, err
		}
	}
	return 0, errors.New("smaps_rollup has no line Rss")
}
