//go:build linux && interop

package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"signalbox/internal/netlab"
	"signalbox/sync/bench/fleet"
	"signalbox/sync/cloud"
	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

// cloudOrder is what the cloud's process is told.
type cloudOrder struct {
	Data, HTTPS, Control string
	Speed                int
	NATS                 cloud.NATS // empty: the embedded broker
}

// playCloud is a cloud node, with its embedded broker or at an external cluster, until it is killed.
func playCloud() error {
	var order cloudOrder
	if err := json.Unmarshal([]byte(os.Args[1]), &order); err != nil {
		return err
	}
	cfg := cloud.Default()
	cfg.Data, cfg.HTTP, cfg.Speed = order.Data, cloud.HTTP{HTTPS: []string{order.HTTPS}}, order.Speed
	if len(order.NATS.URLs) > 0 {
		cfg.NATS = order.NATS
	}
	cfg.Name, cfg.Logger = filepath.Base(order.Data), slog.New(slog.NewTextHandler(os.Stderr, nil))
	node, err := cloud.New(cfg)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", order.Control)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	server := &http.Server{Handler: node.Control()}
	var g sync.WaitGroup
	g.Go(func() { _ = server.Serve(l) })
	g.Go(func() { _, _ = io.Copy(io.Discard, os.Stdin); stop(); _ = server.Close() })
	err = node.Run(ctx)
	stop()
	g.Wait()
	return err
}

// center is the cloud, over all its lives.
type center struct {
	t     *testing.T
	order cloudOrder
	on    *netlab.Host // nil: this machine's own loopback
	admin fleet.Admin
	cmd   *exec.Cmd
	in    io.WriteCloser
	done  chan struct{}
	old   []string // copies of its folder
}

func newCenter(t *testing.T, speed int) *center {
	c := &center{t: t, order: cloudOrder{Data: filepath.Join(t.TempDir(), "cloud"), HTTPS: freeAddr(t), Control: freeAddr(t), Speed: speed}}
	c.admin = fleet.Admin{URL: "http://" + c.order.Control, Client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	return c
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (c *center) start() {
	c.t.Helper()
	order, err := json.Marshal(c.order)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := child(c.t, c.on, roleCloud, c.order.Data, string(order))
	if c.in, err = cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	done := make(chan struct{})
	c.cmd, c.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
}

func (c *center) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// ready waits until the node serves.
func (c *center) ready(within time.Duration) {
	c.t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		if _, err := c.totals(); err == nil {
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(filepath.Join(filepath.Dir(c.order.Data), filepath.Base(c.order.Data)+".log"))
			c.t.Fatalf("the cloud does not serve after %v:\n%s", within, text[max(0, len(text)-4000):])
		}
	}
}

var sample = regexp.MustCompile(`^signalbox_site_signaling_(offers|answers|candidates)_total\{site="([^"]+)".*\} (\d+)$`)

var sampled = map[string]wire.MetricID{"offers": wire.SignalingOffers, "answers": wire.SignalingAnswers, "candidates": wire.SignalingCandidates}

// totals are what the dashboard knows of each site's counters.
func (c *center) totals() (map[string]map[wire.MetricID]uint64, error) {
	answer, err := c.admin.Client.Get(c.admin.URL + "/metrics")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s", answer.Status)
	}
	totals := map[string]map[wire.MetricID]uint64{}
	in := bufio.NewScanner(answer.Body)
	for in.Buffer(nil, 1<<20); in.Scan(); {
		if m := sample.FindStringSubmatch(in.Text()); m != nil {
			n, err := strconv.ParseUint(m[3], 10, 64)
			if err != nil {
				return nil, err
			}
			if totals[m[2]] == nil {
				totals[m[2]] = map[wire.MetricID]uint64{}
			}
			totals[m[2]][sampled[m[1]]] = n
		}
	}
	return totals, in.Err()
}

// copyFolder keeps a copy of the folder, while the node does not run.
func (c *center) copyFolder() {
	c.t.Helper()
	dir := filepath.Join(c.t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(c.order.Data)); err != nil {
		c.t.Fatal(err)
	}
	c.old = append(c.old, dir)
}

// restore puts a copy in place of the folder.
func (c *center) restore(which int) {
	c.t.Helper()
	if err := os.RemoveAll(c.order.Data); err != nil {
		c.t.Fatal(err)
	}
	if err := os.CopyFS(c.order.Data, os.DirFS(c.old[which])); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chmod(c.order.Data, 0o700); err != nil {
		c.t.Fatal(err)
	}
}

// wipe loses the stream of frames, and nothing else of the broker.
func (c *center) wipe() {
	c.t.Helper()
	found, err := filepath.Glob(filepath.Join(c.order.Data, "streams", "*", "*", "streams", "UP"))
	if err != nil || len(found) != 1 {
		c.t.Fatalf("the folder of the stream: %v, %v", found, err)
	}
	if err := os.RemoveAll(found[0]); err != nil {
		c.t.Fatal(err)
	}
}

func (c *center) dropProjection() {
	c.t.Helper()
	if err := os.Remove(filepath.Join(c.order.Data, projection.FileName)); err != nil && !os.IsNotExist(err) {
		c.t.Fatal(err)
	}
}
