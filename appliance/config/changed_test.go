package config

import (
	"log/slog"
	"slices"
	"testing"

	"signalbox/turn"
)

func TestChanged(t *testing.T) {
	before, after := Default(), Default()
	if got := Changed(before, after); len(got) != 0 {
		t.Errorf("of two equal ones %q have changed", got)
	}
	after.Signaling.Origins = []string{} // none, written differently
	after.Log.Level = slog.LevelDebug
	after.HTTP.Listen = []string{":8081"}
	after.Turn.Users = []turn.User{{Name: "cam", Password: "secret of cam"}}
	want := []string{"http.listen", "turn.users", "log.level"}
	if got := Changed(before, after); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	before.Turn.Users = []turn.User{{Name: "cam", Password: "another secret"}}
	if got := Changed(before, after); !slices.Equal(got, want) {
		t.Errorf("with another password: got %q, want %q", got, want)
	}
}
