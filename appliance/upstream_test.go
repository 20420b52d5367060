package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/appliance/config"
	"signalbox/appliance/room"
	"signalbox/sync/wire"
	"signalbox/turn/turntest"
)

// What the box does is what it reports, by the ids of the wire.
func TestReportedSample(t *testing.T) {
	b, stop := running(t, t.TempDir())
	r := &reporter{Appliance: b}
	if rooms := r.Rooms(); len(rooms) != 0 {
		t.Fatalf("rooms %v, want none", rooms)
	}
	_, credential := signIn(t, b, "cam-7")
	client := dial(t, b, credential)
	client.Allocate()
	if _, err := b.signaling.CreateRoom(t.Context(), room.Info{Name: "line-3", Pinned: true}); err != nil {
		t.Fatal(err)
	}
	relayed{b}.Drain(true, false)
	late := dial(t, b, credential)
	late.Challenge()
	if code := turntest.Code(late.Request(stun.MethodAllocate, turntest.UDPTransport)); code != 508 {
		t.Fatalf("allocate while draining: %d", code)
	}
	late.Credential.Password += "x"
	if code := turntest.Code(late.Request(stun.MethodAllocate, turntest.UDPTransport)); code != 401 {
		t.Fatalf("allocate with a wrong password: %d", code)
	}
	s := r.Sample()
	for id, want := range map[wire.MetricID]uint64{wire.RelayAllocationsMade: 1, wire.RoomsCreated: 1, wire.RelayRefusedCapacity: 1, wire.RelayRefusedAuth: 1, wire.SessionsOpened: 0} {
		if s.Counters[id] != want {
			t.Errorf("counter %d is %d, want %d", id, s.Counters[id], want)
		}
	}
	for id, want := range map[wire.MetricID]int64{wire.RelayAllocations: 1, wire.RoomsOpen: 1, wire.SessionsLimit: 10_000, wire.StoreLimitBytes: 256 << 20} {
		if s.Gauges[id] != want {
			t.Errorf("gauge %d is %d, want %d", id, s.Gauges[id], want)
		}
	}
	if s.RelayFull != 0 { // it drains, and is not full
		t.Errorf("the relay was full %d times", s.RelayFull)
	}
	for id := range s.Counters {
		if wire.KindOf(id) != wire.Counter {
			t.Errorf("metric %d is no counter", id)
		}
	}
	for id := range s.Gauges {
		if wire.KindOf(id) != wire.Level {
			t.Errorf("metric %d is no gauge", id)
		}
	}
	rooms := r.Rooms()
	if len(rooms) != 1 || rooms[0].Name != "line-3" || time.Since(rooms[0].Created) > time.Minute {
		t.Errorf("rooms %v, want line-3, made just now", rooms)
	}
	stop()
}

func TestCommandsOfTheCloud(t *testing.T) {
	dir := t.TempDir()
	b, stop := running(t, dir)
	cloud := remote{b}
	_, credential := signIn(t, b, "cam-7")
	client := dial(t, b, credential)
	client.Allocate()
	id := b.relay.Allocations()[0].ID
	for _, step := range []struct {
		name, args string
		want       wire.Outcome
	}{
		{"dance", "", wire.OutcomeUnknown},
		{"end-allocation", `{}`, wire.OutcomeArguments},
		{"end-allocation", `"all"`, wire.OutcomeArguments},
		{"end-allocation", `{"id":4711}`, wire.OutcomeNotFound},
		{"end-allocation", fmt.Sprintf(`{"id":%d}`, id), wire.OutcomeDone},
		{"drain", "", wire.OutcomeDone},
		{"backup", "", wire.OutcomeDone},
	} {
		if got := cloud.Run(t.Context(), step.name, json.RawMessage(step.args)); got != step.want {
			t.Errorf("%s %s: %s, want %s", step.name, step.args, got, step.want)
		}
	}
	if st := b.relay.Stats(); !st.Draining || st.Allocations != 0 {
		t.Errorf("relay %+v, want draining and empty", st)
	}
	if got := cloud.Run(t.Context(), "no-drain", nil); got != wire.OutcomeDone || b.relay.Draining() {
		t.Errorf("no-drain: %s, draining %v", got, b.relay.Draining())
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "backups", "*.db")); len(files) != 1 {
		t.Errorf("backups %v, want one", files)
	}
	stop()
}

func TestPolicyOfTheCloud(t *testing.T) {
	b, stop := running(t, t.TempDir())
	cloud, on := remote{b}, true
	level := slog.LevelDebug
	cloud.LogLevel(&level)
	if err := cloud.Drain(&on); err != nil || !b.relay.Draining() || b.level.Level() != slog.LevelDebug {
		t.Errorf("drain %v (%v), level %v", b.relay.Draining(), err, b.level.Level())
	}
	cloud.LogLevel(nil)
	if err := cloud.Drain(nil); err != nil || b.relay.Draining() || b.level.Level() != slog.LevelError {
		t.Errorf("drain %v (%v), level %v; want those of the configuration", b.relay.Draining(), err, b.level.Level())
	}
	stop()
}

// The cloud may ask for a new start; everything is closed when Run says so.
func TestRestartOfTheCloud(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Data, cfg.Discovery.Enabled, cfg.Log.Level = dir, false, slog.LevelError
	cfg.HTTP.Listen, cfg.HTTP.HTTPS, cfg.Turn.Listen = []string{"127.0.0.1:0"}, nil, []string{"127.0.0.1:0"}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run(context.Background()) }()
	<-b.Ready()
	for range 2 { // asked twice it is one restart
		if got := (remote{b}).Run(t.Context(), "restart", nil); got != wire.OutcomeDone {
			t.Errorf("restart: %s", got)
		}
	}
	if err := <-ended; !errors.Is(err, ErrRestart) {
		t.Errorf("Run returned %v, want ErrRestart", err)
	}
	_, stop := running(t, dir) // nothing holds the folder
	stop()
}

// A box that has not joined says so, is well all the same, and keeps nothing.
func TestUpstreamStatusBeforeJoining(t *testing.T) {
	dir := t.TempDir()
	b, stop := running(t, dir)
	st := box{b}.Status().Upstream
	if st.Joined || st.Connected || st.Fault != "" || st.Level != "default" {
		t.Errorf("status %+v", st)
	}
	for _, p := range (box{b}).Parts() {
		if p.Name == upstreamPart && (!p.OK || p.Required) {
			t.Errorf("part %+v, want well and not required", p)
		}
	}
	stop()
	if _, err := os.Stat(filepath.Join(dir, "upstream.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is an outbox (%v)", err)
	}
}

// Damaged identity files do not keep the box from serving; its health says it.
func TestDamagedIdentity(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "identity"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nonsense", filepath.Join(dir, "identity", "current")); err != nil {
		t.Fatal(err)
	}
	b, stop := running(t, dir)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if reason := (box{b}).upstreamReason(); strings.Contains(reason, "join again") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("health says %q", (box{b}).upstreamReason())
		}
	}
	stop()
}
