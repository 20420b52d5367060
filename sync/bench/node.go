//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"signalbox/sync/bench/fleet"
)

const (
	startWithin = time.Minute
	stopWithin  = 20 * time.Second
	clockTicks  = 100 // of /proc, per second (USER_HZ)
)

// process is a run of the program under test.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// launch starts the program and reads its line of JSON once it serves.
func launch(ctx context.Context, program, log string, ready any, args ...string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = file
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd, make(chan struct{})}
	line := make(chan []byte, 1)
	go func() {
		defer close(p.ended)
		if in := bufio.NewScanner(out); in.Scan() {
			line <- bytes.Clone(in.Bytes())
		}
		_ = cmd.Wait() // nothing more is printed
	}()
	select {
	case text := <-line:
		return p, json.Unmarshal(text, ready)
	case <-p.ended:
	case <-time.After(startWithin):
	}
	p.stop()
	return nil, fmt.Errorf("%s %s does not serve; see %s", program, strings.Join(args, " "), log)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopWithin):
		p.kill()
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// usage is what a process has taken.
type usage struct {
	at    time.Time
	cpu   time.Duration
	rss   int64
	wrote int64 // bytes handed to block devices
}

func (p *process) usage() (usage, error) {
	u := usage{at: time.Now()}
	dir := fmt.Sprintf("/proc/%d/", p.pid())
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the state on, proc(5)
	for _, i := range []int{11, 12} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(n) * time.Second / clockTicks
	}
	rss, rssErr := valueIn(dir+"status", "VmRSS:")
	wrote, wroteErr := valueIn(dir+"io", "write_bytes:")
	u.rss, u.wrote = rss<<10, wrote
	return u, errors.Join(rssErr, wroteErr)
}

func valueIn(file, key string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, key)
}

// node is the cloud under test.
type node struct {
	*process
	program, dir string
	url          string
	tls          *tls.Config
	admin        fleet.Admin
}

// newNode starts a cloud on a folder of its own, at an address of this host.
func newNode(ctx context.Context, program, dir, host string) (*node, error) {
	n := &node{program: program, dir: dir, url: "https://" + host + ":0"}
	if err := n.start(ctx); err != nil {
		return nil, err
	}
	root, err := os.ReadFile(filepath.Join(n.data(), "ca", "root.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	n.tls = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	key, err := exec.CommandContext(ctx, program, "cloud", "key", "add", "bench", "--role", "administrator", "--data", n.data()).Output()
	if err != nil {
		return nil, fmt.Errorf("key of an administrator: %w", err)
	}
	n.admin = fleet.Admin{URL: n.url, Key: strings.TrimSpace(string(key)), Client: &http.Client{Transport: &http.Transport{TLSClientConfig: n.tls, MaxIdleConnsPerHost: 16}}}
	return n, nil
}

func (n *node) data() string { return filepath.Join(n.dir, "cloud") }

// start starts it where it was before.
func (n *node) start(ctx context.Context) (err error) {
	var ready struct {
		HTTPS []string `json:"https"`
	}
	n.process, err = launch(ctx, n.program, filepath.Join(n.dir, "cloud.log"), &ready,
		"cloud", "--data", n.data(), "--http", "127.0.0.1:0", "--https", strings.TrimPrefix(n.url, "https://"), "--ready-json")
	if err == nil {
		n.url = "https://" + ready.HTTPS[0]
	}
	return err
}
