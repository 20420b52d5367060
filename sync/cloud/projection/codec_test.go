package projection

import (
	"bytes"
	"testing"

	"signalbox/sync/wire"
)

// FuzzBox: what can be read is written the same, and what cannot is refused
// without asking for more memory than the record has.
func FuzzBox(f *testing.F) {
	t := &Tx{}
	b := t.blank(wire.BoxID{Tenant: "main", Site: "s", Box: "b"})
	f.Add(b.encode())
	b.current = incarnation{id: 9, seen: true, coverage: coverage{through: 4, above: []span{{9, 12}}, jumped: 2}, newest: 12, counters: []Count{{1, 5}, {70, 9}}}
	b.lives, b.folded = []life{{1, 2}}, []uint64{77}
	b.gauges = []Gauge{{ID: 100, Last: -5, Low: -9, High: 3}}
	b.info = &wire.Box{Version: "v1", Policy: 3}
	b.alerts = []alertState{{"disk", true, 5, 99, 1}}
	b.refused = []Refused{{"signature", 3, 50}}
	b.open.hour = 490000
	b.open.Hour = Hour{Ends: []HourEnd{{9, 1, 12, []Count{{1, 5}}}}, Gauges: b.gauges, lastMs: 7}
	b.open.points.cells[3] = cell{has: 1 << 4, values: [seriesCount]int64{4: 88}}
	b.strip.fill(0, 12*pointMs, CellBad, true)
	f.Add(b.encode())
	f.Fuzz(func(t *testing.T, record []byte) {
		a, b := (&Tx{}).blank(wire.BoxID{}), (&Tx{}).blank(wire.BoxID{})
		if a.decode(record) != nil {
			return
		}
		again := a.encode()
		if err := b.decode(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if !bytes.Equal(b.encode(), again) {
			t.Error("a record has two encodings")
		}
	})
}

// FuzzRollup: hours come over the network, written by other versions perhaps.
func FuzzRollup(f *testing.F) {
	r := rollup{Hour: Hour{Ends: []HourEnd{{9, 1, 12, []Count{{1, 5}}}}, Gauges: []Gauge{{ID: 1, Last: 5, Low: 2, High: 8}}, lastMs: 7}}
	r.sketches = []sketch{{hour: 5, id: 200, incarnation: 9, first: 1, last: 12, data: []byte("x")}}
	f.Add(r.encode(), r.encode())
	f.Add([]byte{}, r.encode())
	f.Fuzz(func(t *testing.T, a, b []byte) {
		merged := MergeRollups(a, b)
		if _, err := decodeRollup(b); err != nil {
			return
		}
		if _, err := decodeRollup(merged); err != nil {
			t.Errorf("a merged hour cannot be read: %v", err)
		}
	})
}
