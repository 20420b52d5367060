package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"signalbox/appliance/loadgen"
	"signalbox/appliance/loadgen/bench/textbook"
)

// contestant is a server under measurement and how to speak to it.
type contestant struct {
	name  string
	start func(ctx context.Context, b *bench) (*server, error)
}

// server is a contestant's process.
type server struct {
	url     string
	dialect loadgen.Dialect
	cmd     *exec.Cmd
	dir     string       // its state, removed with it
	tidy    func() error // has it return its garbage; nil for one that does so by itself
	errors  bytes.Buffer
}

var contestants = []contestant{
	{"signalbox", startBox},
	{"textbook", startTextbook},
}

// raised are the limits that keep strangers from doing what a benchmark does.
// All else is as in any box: its store, its journal, its relay, its tokens.
var raised = []string{
	"SIGNALBOX_CONFIG=/dev/null", "SIGNALBOX_DISCOVERY_ENABLED=false",
	"SIGNALBOX_SIGNALING_MAX_SESSIONS=20000", "SIGNALBOX_SIGNALING_SESSIONS_PER_SUBJECT=20000",
	"SIGNALBOX_SIGNALING_CONNECT_RATE=100000",
	"SIGNALBOX_SIGNALING_MESSAGE_RATE=1000000", "SIGNALBOX_SIGNALING_BYTE_RATE=10000000000",
}

func startBox(ctx context.Context, b *bench) (*server, error) {
	dir, err := os.MkdirTemp("", "signalbox-bench-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	cmd := exec.CommandContext(ctx, b.box, "serve", "--ready-json", "--data", dir, "--http", "127.0.0.1:0", "--https", "", "--turn", "127.0.0.1:0")
	line, err := s.run(cmd, b, raised)
	if err != nil {
		return nil, s.failed(fmt.Errorf("start %s: %w", b.box, err))
	}
	var ready struct {
		HTTP []string `json:"http"`
	}
	if err := json.Unmarshal(line, &ready); err != nil || len(ready.HTTP) == 0 {
		return nil, s.failed(fmt.Errorf("%s says it serves with %q, want an address", b.box, line))
	}
	s.url = "ws://" + ready.HTTP[0] + "/v1/signal"
	token, err := exec.CommandContext(ctx, b.box, "token", "device", "--data", dir, "--subject", "bench", "--room", "*", "--rights", "join,send,create").Output()
	if err != nil {
		return nil, s.failed(fmt.Errorf("get a token: %w", err))
	}
	s.dialect = loadgen.Native{Tokens: []string{strings.TrimSpace(string(token))}}
	return s, nil
}

func startTextbook(ctx context.Context, b *bench) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{dialect: textbook.Dialect{}}
	line, err := s.run(exec.CommandContext(ctx, self, textbookArg), b, nil)
	if err != nil {
		return nil, s.failed(fmt.Errorf("start the textbook hub: %w", err))
	}
	s.url = "ws://" + strings.TrimSpace(string(line)) + "/"
	s.tidy = func() error { return s.cmd.Process.Signal(syscall.SIGUSR1) }
	return s, nil
}

// run starts cmd on the server's core and gives its first line.
func (s *server) run(cmd *exec.Cmd, b *bench, environ []string) ([]byte, error) {
	s.cmd = cmd
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Env = append(cmd.Env, environ...)
	cmd.Stderr = &s.errors
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := onCore(b.serverCore, cmd.Start); err != nil {
		s.cmd = nil
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("it said nothing: %w", err)
	}
	return line, nil
}

// onCore runs f on one core; a process started by it stays there.
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
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
	if s.dir != "" {
		return os.RemoveAll(s.dir)
	}
	return nil
}

// failed stops the server and adds to err the end of what it wrote to its log.
func (s *server) failed(err error) error {
	err = errors.Join(err, s.stop())
	text := s.errors.Bytes()
	return fmt.Errorf("%w; its log ends with: %s", err, text[max(0, len(text)-500):])
}

// proc is what the kernel knows about the process.
func (s *server) proc(file string) (string, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), file))
	return string(b), err
}

// resident is the memory of the process that is its own, in bytes.
func (s *server) resident() (float64, error) {
	text, err := s.proc("smaps_rollup")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Rss:" {
			kb, err := strconv.ParseFloat(fields[1], 64)
			return kb * 1024, err
		}
	}
	return 0, errors.New("smaps_rollup has no line Rss")
}

// clockTick is USER_HZ, which Linux has fixed at 100 towards programs.
const clockTick = time.Second / 100

// cpu is the time the process has used, in user and system mode (proc_pid_stat(5)).
func (s *server) cpu() (time.Duration, error) {
	text, err := s.proc("stat")
	if err != nil {
		return 0, err
	}
	_, text, _ = strings.Cut(text, ") ") // the name may hold anything but ends so
	fields := strings.Fields(text)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat is %q", text)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}
