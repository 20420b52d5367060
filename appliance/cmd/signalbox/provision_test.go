package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"signalbox/appliance"
	"signalbox/appliance/api"
	"signalbox/appliance/config"
	"signalbox/appliance/provision"
)

// hall is a real box of this process whose service manager is the test. Only
// its cloud is made up.
type hall struct {
	t          *testing.T
	data, file string
	refuse     int    // times that joining fails before it succeeds
	refused    func() // then, every time
	joined     bool
	tokens     []string
	stop       func()
}

func (h *hall) status(ctx context.Context) (s api.Status, err error) {
	box, err := dialBox(ctx, h.data)
	err = with(box, err, func(box *client) error { return box.call(ctx, http.MethodGet, "/v1/status", nil, &s) })
	s.Upstream.Joined = h.joined
	return s, err
}

func (h *hall) restart(context.Context) error {
	h.stop()
	h.stop = func() {}
	loaded, err := config.Load(config.Sources{
		File:  h.file,
		Flags: []config.Flag{{Name: "--data", Key: "data", Value: h.data}, {Name: "--turn", Key: "turn.listen", Value: "127.0.0.1:0"}, {Name: "--turn-tls", Key: "turn.tls_listen", Value: ""}, {Name: "--log-level", Key: "log.level", Value: "error"}},
	})
	if err != nil {
		return err
	}
	loaded.Discovery.Enabled = false
	loaded.HTTP.HTTPS = []string{":0"}
	box, err := appliance.New(loaded.Config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan error, 1)
	go func() { done <- box.Run(ctx) }()
	<-box.Ready()
	h.stop = func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			h.t.Errorf("the box ended with %v", err)
		}
	}
	return nil
}

func (h *hall) join(_ context.Context, how provision.Join) ([]byte, error) {
	h.tokens = append(h.tokens, how.Token)
	if h.refuse > 0 {
		h.refuse--
		h.refused()
		return nil, errors.New("the network is unreachable")
	}
	h.joined = true
	return []byte("site hall-9\n"), nil
}

func (h *hall) invite(ctx context.Context, ttl time.Duration) (string, error) {
	var made api.InviteCreated
	box, err := dialBox(ctx, h.data)
	err = with(box, err, func(box *client) error {
		return box.call(ctx, http.MethodPost, "/v1/invites", api.InviteCreate{Kind: "admin", TTL: int64(ttl.Seconds())}, &made)
	})
	_, fragment, _ := strings.Cut(made.URL, "#")
	return fragment, err
}

const ownConfig = "# nothing is set\n[http]\n"

// newHall is a new box that serves, and what provisions it.
func newHall(t *testing.T) (*hall, *provisioning) {
	t.Helper()
	dir := t.TempDir()
	h := &hall{t: t, data: filepath.Join(dir, "data"), file: filepath.Join(dir, "signalbox.toml"), stop: func() {}, refused: func() {}}
	write(t, h.file, ownConfig)
	t.Setenv("SIGNALBOX_CONFIG", os.DevNull)
	if err := h.restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.stop() })
	return h, &provisioning{
		box: h, state: filepath.Join(dir, "system"), config: h.file,
		trial: time.Minute, again: 10 * time.Millisecond,
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// on has the box look at a stick; result is "" when none was written.
func (o *provisioning) on(ctx context.Context, t *testing.T, stick string) (result string, err error) {
	t.Helper()
	medium := provision.Find([]string{stick})
	if medium == nil {
		t.Fatal("there is no file on the stick")
	}
	said, err := o.run(ctx, medium)
	if closed := medium.Close(); closed != nil {
		t.Error(closed)
	}
	text, readErr := os.ReadFile(filepath.Join(stick, "signalbox-provision.result.txt"))
	if readErr == nil && err == nil && strings.ReplaceAll(string(text), "\r\n", "\n") != said {
		t.Errorf("the medium says %q, the journal is given %q", text, said)
	}
	return string(text), err
}

const (
	wantLink  = "[admin]\nlink = true\n"
	wantCloud = "[join]\nurl = \"https://cloud.example\"\ntoken = \"sbx-secret\"\nca = \"sha256:00\"\n"
)

var link = regexp.MustCompile(`https://signalbox\.local:\d+/#setup=\S+|https://signalbox\.local:\d+/#\S+`)

func TestProvision(t *testing.T) {
	h, o := newHall(t)
	stick := t.TempDir()
	write(t, filepath.Join(stick, provision.Name), wantLink+wantCloud+"[config.http]\nlisten = [\"127.0.0.1:0\"]\n[config.site]\nname = \"hall 9\"\n")
	h.refuse = 2
	result, err := o.on(t.Context(), t, stick)
	if err != nil || !link.MatchString(result) || !strings.Contains(result, "the configuration is written") || !strings.Contains(result, "site hall-9") {
		t.Errorf("got %v and\n%s", err, result)
	}
	if len(h.tokens) != 3 || h.tokens[2] != "sbx-secret" {
		t.Errorf("joined with %q", h.tokens)
	}
	if s, err := h.status(t.Context()); err != nil || s.Site != "hall 9" {
		t.Errorf("the box is %q, %v", s.Site, err)
	}
	left, err := os.ReadDir(stick)
	if err != nil || len(left) != 1 { // nothing that holds the token
		t.Errorf("on the stick are %v, %v", left, err)
	}
	// Another file is for a new box, which this is no more.
	write(t, filepath.Join(stick, provision.Name), wantLink)
	if result, err := o.on(t.Context(), t, stick); err == nil || !strings.Contains(result, "set up already") {
		t.Errorf("a second file: %v and\n%s", err, result)
	}
}

// After a power cut, or a cloud that was not reached in time, the next start
// goes on with the same file.
func TestProvisionGoesOn(t *testing.T) {
	h, o := newHall(t)
	stick := t.TempDir()
	file := filepath.Join(stick, provision.Name)
	write(t, file, wantLink+wantCloud+"[config.http]\nlisten = [\"127.0.0.1:0\"]\n[config.site]\nname = \"hall 9\"\n")
	cutShort := func() (string, error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h.refuse, h.refused = 1<<20, cancel
		return o.on(ctx, t, stick)
	}
	if result, err := cutShort(); err == nil || !strings.Contains(result, "FAILED: join") {
		t.Fatalf("without a cloud: %v and\n%s", err, result)
	}
	// Somebody corrects the file; the configuration from before is no obstacle.
	write(t, file, wantLink+wantCloud+"[config.http]\nlisten = [\"127.0.0.1:0\"]\n[config.site]\nname = \"hall 10\"\n")
	if result, err := cutShort(); err == nil || !strings.Contains(result, "the configuration is written") {
		t.Fatalf("without a cloud: %v and\n%s", err, result)
	}
	h.joined = true // and the power goes
	result, err := o.on(t.Context(), t, stick)
	if err != nil || !link.MatchString(result) || strings.Contains(result, "the configuration is written") {
		t.Errorf("got %v and\n%s", err, result)
	}
	if s, err := h.status(t.Context()); err != nil || s.Site != "hall 10" {
		t.Errorf("the box is %q, %v", s.Site, err)
	}
}

// A configuration that is in order and cannot run costs nobody the box.
func TestProvisionTakesConfigBack(t *testing.T) {
	h, o := newHall(t)
	stick := t.TempDir()
	write(t, filepath.Join(stick, provision.Name), wantLink+"[config.http]\nlisten = [\"192.0.2.1:8080\"]\n")
	result, err := o.on(t.Context(), t, stick)
	if err == nil || !strings.Contains(result, "[config] is taken back") || !strings.Contains(result, "192.0.2.1:8080") || link.MatchString(result) {
		t.Errorf("got %v and\n%s", err, result)
	}
	if got := read(t, h.file); got != ownConfig {
		t.Errorf("the configuration is %q", got)
	}
	if _, err := h.status(t.Context()); err != nil {
		t.Errorf("the box is down: %v", err)
	}
	if left, err := filepath.Glob(h.file + ".*"); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// The power goes while the box fails to start with what a file has configured.
func TestProvisionSettles(t *testing.T) {
	h, o := newHall(t)
	h.stop()
	h.stop = func() {}
	write(t, o.before(), ownConfig)
	write(t, h.file, "[http]\nlisten = [\"192.0.2.1:8080\"]\n")
	o.trial = time.Second
	if err := o.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, h.file); got != ownConfig {
		t.Errorf("the configuration is %q", got)
	}
	if _, err := h.status(t.Context()); err != nil {
		t.Errorf("the box is down: %v", err)
	}
}

// A link that nobody could read is not made, and a file that asks for one counts
// until the medium can be written. One that asks for none is used at once.
func TestProvisionFromReadOnlyMedium(t *testing.T) {
	h, o := newHall(t)
	stick := t.TempDir()
	if err := syscall.Mount("none", stick, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a file system of its own cannot be mounted, which takes root: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(stick, 0); err != nil {
			t.Error(err)
		}
	}()
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("none", stick, "tmpfs", syscall.MS_REMOUNT|flags, "size=1m"); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(stick, provision.Name)
	write(t, file, wantLink+wantCloud)
	remount(syscall.MS_RDONLY)
	if _, err := o.on(t.Context(), t, stick); err == nil || !strings.Contains(err.Error(), "no link is made") || !h.joined {
		t.Errorf("got %v, joined %v", err, h.joined)
	}
	remount(0)
	if result, err := o.on(t.Context(), t, stick); err != nil || !link.MatchString(result) {
		t.Errorf("on a medium that can be written again: %v and\n%s", err, result)
	}
	write(t, file, wantCloud)
	if err := os.Remove(filepath.Join(stick, "signalbox-provision.result.txt")); err != nil {
		t.Fatal(err)
	}
	remount(syscall.MS_RDONLY)
	h.joined, h.tokens = false, nil
	for range 2 {
		if _, err := o.on(t.Context(), t, stick); err != nil || len(h.tokens) != 1 {
			t.Errorf("a file that was used joins %d times, %v", len(h.tokens), err)
		}
	}
	remount(0)
}
