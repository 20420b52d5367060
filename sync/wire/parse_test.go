package wire_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"signalbox/sync/wire"
)

// documents has a whole one of each kind, and what reads and writes it.
var documents = map[string]struct {
	doc   any
	parse func([]byte) (any, error)
}{
	"ask": {
		&wire.Ask{Version: "v1", Incarnation: 1 << 63, Oldest: 4, Newest: 9, Policy: 2, Now: noon},
		func(b []byte) (any, error) { return wire.ParseAsk(b) },
	},
	"standing": {
		&wire.Standing{
			Now: noon, Incarnation: 1<<64 - 1, Applied: 7, Live: 30, Renew: true,
			Policy:   &wire.Policy{Revision: 3, Site: json.RawMessage(`{"level":"minimal"}`)},
			Commands: []wire.Command{{ID: "a-1", Name: "backup", Expires: noon}},
		},
		func(b []byte) (any, error) { return wire.ParseStanding(b) },
	},
	"nudge": {
		&wire.Nudge{Incarnation: 5, Applied: 8, Resync: 3, Ask: true, Live: 30},
		func(b []byte) (any, error) { return wire.ParseNudge(b) },
	},
	"policy": {
		&wire.Policy{Revision: 3, Box: json.RawMessage(`{"uplink_bps":64000}`)},
		func(b []byte) (any, error) { return wire.ParsePolicy(b) },
	},
	"command": {
		&wire.Command{ID: "a-1", Name: "end-allocation", Args: json.RawMessage(`{"id":"x"}`), Expires: noon},
		func(b []byte) (any, error) { return wire.ParseCommand(b) },
	},
	"live": {
		&wire.Live{At: noon, Gauges: map[uint32]int64{100: -4}, Counts: map[uint32]uint64{1: 1 << 60}},
		func(b []byte) (any, error) { return wire.ParseLive(b) },
	},
	"policydoc": {
		&wire.PolicyDoc{Level: "named", LogLevel: "warn", FrameEvery: 120, UplinkBps: 64000, RelayDrain: new(bool)},
		func(b []byte) (any, error) { d, _, err := wire.ParsePolicyDoc(b); return d, err },
	},
}

func TestDocumentsComeBack(t *testing.T) {
	for name, d := range documents {
		data, err := json.Marshal(d.doc)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.parse(data); err != nil || !reflect.DeepEqual(got, d.doc) {
			t.Errorf("%s came back as %+v, %v", name, got, err)
		}
		if _, err := d.parse([]byte(`{"`)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("half a %s: %v", name, err)
		}
		if _, err := d.parse([]byte(strings.Repeat(" ", wire.MaxTalkBytes+1))); !errors.Is(err, wire.ErrOversize) {
			t.Errorf("an endless %s: %v", name, err)
		}
		if name != "policydoc" {
			more := `{"of_a_later_version":1,` + string(data[1:])
			if _, err := d.parse([]byte(more)); err != nil {
				t.Errorf("a %s of a later version: %v", name, err)
			}
		}
	}
}

func TestDocumentsOutOfBounds(t *testing.T) {
	command := `{"id":"a","name":"backup","expires":"2026-05-01T12:00:00Z"}`
	for _, c := range []struct {
		kind, text string
		want       wire.Refusal
	}{
		{"ask", `{}`, wire.ErrMalformed},
		{"ask", `{"incarnation":"1","version":"a\u0000"}`, wire.ErrMalformed},
		{"ask", `{"incarnation":"1","newest":18446744073709551615}`, wire.ErrSequence},
		{"ask", `{"incarnation":"1","now":"1930-01-01T00:00:00Z"}`, wire.ErrTime},
		{"standing", `{}`, wire.ErrTime},
		{"standing", `{"now":"2026-05-01T12:00:00Z","applied":18446744073709551615}`, wire.ErrSequence},
		{"standing", `{"now":"2026-05-01T12:00:00Z","live":4000}`, wire.ErrLimit},
		{"standing", `{"now":"2026-05-01T12:00:00Z","commands":[{"id":"a/b","name":"backup"}]}`, wire.ErrMalformed},
		{"standing", `{"now":"2026-05-01T12:00:00Z","commands":[` + strings.Repeat(command+",", 64) + command + `]}`, wire.ErrLimit},
		{"standing", `{"now":"2026-05-01T12:00:00Z","policy":{"site":"` + strings.Repeat("x", 70000) + `"}}`, wire.ErrOversize},
		{"nudge", `{"resync":9223372036854775808}`, wire.ErrSequence},
		{"nudge", `{"live":301}`, wire.ErrLimit},
		{"nudge", `{"live":-1}`, wire.ErrMalformed},
		{"command", `{"id":"","name":"backup","expires":"2026-05-01T12:00:00Z"}`, wire.ErrMalformed},
		{"command", `{"id":"a","name":"","expires":"2026-05-01T12:00:00Z"}`, wire.ErrMalformed},
		{"command", `{"id":"a","name":"backup"}`, wire.ErrTime},
		{"command", `{"id":"a","name":"backup","args":"` + strings.Repeat("x", 5000) + `"}`, wire.ErrOversize},
		{"live", `{"at":"1930-01-01T00:00:00Z"}`, wire.ErrTime},
		{"policydoc", `{"level":"loud"}`, wire.ErrMalformed},
		{"policydoc", `{"log_level":"loud"}`, wire.ErrMalformed},
		{"policydoc", `{"frame_every":5}`, wire.ErrLimit},
		{"policydoc", `{"uplink_bps":5}`, wire.ErrLimit},
	} {
		if _, err := documents[c.kind].parse([]byte(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s %.80s: %v, want %s", c.kind, c.text, err, c.want)
		}
	}
	gauges := map[uint32]int64{}
	for i := range uint32(300) {
		gauges[i] = 1
	}
	data, err := json.Marshal(wire.Live{At: time.Now(), Gauges: gauges})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.ParseLive(data); !errors.Is(err, wire.ErrLimit) {
		t.Errorf("300 gauges: %v", err)
	}
}

// TestPolicyFaults: a box says why it does not follow a policy, in fixed words.
func TestPolicyFaults(t *testing.T) {
	for text, want := range map[string]wire.PolicyFault{
		``:                             wire.PolicyFaultNone,
		`null`:                         wire.PolicyFaultNone,
		`{}`:                           wire.PolicyFaultNone,
		`{"level":"minimal"}`:          wire.PolicyFaultNone,
		`{"level":"loud"}`:             wire.PolicyFaultValue,
		`{"level":5}`:                  wire.PolicyFaultForm,
		`[]`:                           wire.PolicyFaultForm,
		`{"level":"named","turn":"x"}`: wire.PolicyFaultUnknown,
	} {
		doc, fault, err := wire.ParsePolicyDoc([]byte(text))
		if fault != want || (err == nil) != (want == wire.PolicyFaultNone) || (doc == nil) != (err != nil) {
			t.Errorf("%s: %q, %v, want %q", text, fault, err, want)
		}
	}
}

func FuzzParseTalk(f *testing.F) {
	for _, d := range documents {
		data, err := json.Marshal(d.doc)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, d := range documents {
			got, err := d.parse(data)
			if err != nil {
				reasonable(t, err)
				continue
			}
			again, err := json.Marshal(got)
			if err != nil {
				t.Fatalf("%s cannot be written again: %v", name, err)
			}
			if _, err := d.parse(again); err != nil {
				t.Errorf("%s cannot be read again: %v", name, err)
			}
		}
	})
}
