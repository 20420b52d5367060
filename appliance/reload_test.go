package appliance

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/turn/turntest"
)

// What can change while the box runs does, the rest is named, and a fault leaves
// all as it was and is told until the next reload.
func TestReload(t *testing.T) {
	b, stop := running(t, t.TempDir())
	defer stop()
	next := b.asked
	next.Log.Level, next.Site.Name = slog.LevelDebug, "hall 9"
	next.Turn.AllowPeers = append(slices.Clone(next.Turn.AllowPeers), turntest.Rule("10.20.0.0/16"))
	waiting, err := b.Reload(next, nil)
	if err != nil || !slices.Equal(waiting, []string{"site.name"}) || b.level.Level() != slog.LevelDebug {
		t.Errorf("reload: %v, %v, level %v", waiting, err, b.level.Level())
	}
	if _, err := b.Reload(next, errors.New("turn.realm: got\n nothing")); err == nil {
		t.Error("a fault is not returned")
	}
	if s := (box{b}).Status().Config; s.Problem != "turn.realm: got nothing" || !slices.Equal(s.Restart, []string{"site.name"}) || s.Reloaded == nil {
		t.Errorf("status %+v", s)
	}
	if line := b.Line(); !strings.Contains(line, "configuration: ") || b.level.Level() != slog.LevelDebug {
		t.Errorf("the line is %q", line)
	}
	if waiting, err := b.Reload(b.asked, nil); err != nil || len(waiting) > 0 || strings.Contains(b.Line(), "configuration") {
		t.Errorf("after a good reload: %v, %v, %q", waiting, err, b.Line())
	}
}

// The watchdog's check goes through every part, and names the one that hangs.
func TestPulse(t *testing.T) {
	b, stop := running(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.Pulse(ctx); err != nil {
		t.Errorf("a box that is well: %v", err)
	}
	stop()
	late, cancelLate := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("stuck"))
	defer cancelLate()
	if err := b.Pulse(late); err == nil || !strings.Contains(err.Error(), "signaling") {
		t.Errorf("a box whose signaling does not run: %v", err)
	}
}
