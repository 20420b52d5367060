package turn

import (
	"bytes"
	"log/slog"
	"testing"
)

// formatted counts how often it is put into text.
type formatted struct{ times *int }

func (f formatted) String() string {
	*f.times++
	return "a packet"
}

// A flood of bad packets must not become a flood of log lines (F11).
func TestLogIsLimited(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: 10} {
		var out bytes.Buffer
		log := limited(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})).With("component", "turn"))
		var times int
		for range 1000 {
			pionLog{log}.NewLogger("turn").Errorf("failed to handle %v", formatted{&times})
			pionLog{log}.NewLogger("turn").Debugf("received %v", formatted{&times})
		}
		// One more when the loop takes longer than a second.
		if lines := bytes.Count(out.Bytes(), []byte("\n")); lines < want || lines > want+1 || times != lines {
			t.Errorf("level %v: %d lines of 2000, formatted %d times, want %d", level, lines, times, want)
		}
	}
}
