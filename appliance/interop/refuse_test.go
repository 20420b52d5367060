//go:build linux && interop

package interop_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"signalbox/appliance/api"
)

// refusedStart runs a box that must not start and returns what it says.
func refusedStart(t *testing.T, b *box, flags ...string) string {
	t.Helper()
	b.launch(flags...)
	select {
	case <-b.exited:
	case <-time.After(readyTimeout):
		t.Fatalf("the box neither serves nor ends:\n%s", &b.log)
	}
	if line, served := <-b.stdout; served {
		t.Errorf("a box that does not start printed %q", line)
	}
	if code := b.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	return b.log.String()
}

// TestSecondBox starts another box on the folder of one that runs.
func TestSecondBox(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, "")
	camera := b.device("camera")
	camera.join("line-3")
	second := newBox(t, nil, "")
	second.data = b.data
	said := refusedStart(t, second)
	for _, want := range []string{b.data, fmt.Sprint(b.pid()), "stop it, or choose another folder with --data"} {
		if !strings.Contains(said, want) {
			t.Errorf("the second box said %q, want %q in it", said, want)
		}
	}
	if !decode[api.Health](b.web(nil, nil).ask("GET", "/readyz", "", nil), http.StatusOK).OK {
		t.Error("the first box is not ready any more")
	}
	if got := b.cli("status"); !strings.Contains(got, "1 members") {
		t.Errorf("the first box's control socket answers %q, want its one member", got)
	}
	if c := camera.Counts(); c.Connects != 1 {
		t.Errorf("the first box's device was disturbed: %+v", c)
	}
}

// TestPortsInUse starts boxes on ports that another one has.
func TestPortsInUse(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, "")
	_, turnPort, _ := strings.Cut(b.ready.TURN[0], ":")
	for _, test := range []struct {
		flag string
		want []string
	}{
		{"--http=" + b.ready.HTTP[0], []string{b.ready.HTTP[0] + " is in use", "http.listen"}},
		{"--https=" + b.ready.HTTPS[0], []string{b.ready.HTTPS[0] + " is in use", "http.https"}},
		{"--turn=" + b.ready.TURN[0], []string{"port " + turnPort + "/udp is in use", "stop the other TURN server or set turn.listen"}},
	} {
		other := newBox(t, nil, "")
		said := refusedStart(t, other, test.flag)
		for _, want := range test.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: the box said %q, want %q in it", test.flag, said, want)
			}
		}
		other.start() // what it left behind is no obstacle
	}
}
