package wire_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"signalbox/sync/wire"
)

// planter gives every text field of a struct of facts a canary of its own, so
// that a field added later is planted too.
type planter struct{ canaries []string }

func (p *planter) text(where string) string {
	c := fmt.Sprintf("Canary%dIn%s", len(p.canaries), where)
	p.canaries = append(p.canaries, c)
	return c
}

func (p *planter) plant(t *testing.T, facts any) {
	t.Helper()
	v := reflect.ValueOf(facts).Elem()
	planted := 0
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String {
			f.SetString(p.text(v.Type().Field(i).Name))
			planted++
		}
	}
	if planted == 0 {
		t.Fatalf("%T has no text field", facts)
	}
}

// TestNoCanaryLeaves plants strings wherever facts come in and looks for them in
// all that would go out, decompressed.
func TestNoCanaryLeaves(t *testing.T) {
	for _, level := range []wire.Privacy{wire.Minimal, wire.Default, wire.Named} {
		var p planter
		key := []byte(p.text("SiteKey"))
		v, err := wire.NewVeil(level, key)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
		d := v.Draft(wire.Span{Start: now, End: now.Add(time.Minute), Boot: 9, Mono: time.Hour})
		var box wire.BoxFacts
		p.plant(t, &box)
		// A version has a form that a name may have as well: it comes from the build.
		box.Version, box.Started = "v1.2.3", now
		d.Box(box)
		var room wire.RoomFacts
		p.plant(t, &room)
		var told wire.Reported
		d.Rooms(&told, []wire.RoomFacts{room})
		set := wire.NewSet()
		set.Add(v.Hash(p.text("Device")))
		d.Set(wire.DevicesUnique, now, set)
		d.Counter(wire.SessionsOpened, 5)
		d.Gauge(wire.RoomsOpen, 4, 1, 9)
		d.Alert(wire.AlertDisk, true, now, 1)
		d.Result("c-1", wire.OutcomeFailed, now)
		f, err := d.Finish()
		if err != nil {
			t.Fatal(err)
		}
		f.First, f.Last = 1, 1
		sent := sentBytes(t, f)
		leaked := 0
		for _, c := range p.canaries {
			if bytes.Contains(sent, []byte(c)) || bytes.Contains(bytes.ToLower(sent), []byte(strings.ToLower(c[:8]))) {
				leaked++
				if level != wire.Named {
					t.Errorf("%s: %q leaves the site", level, c)
				}
			}
		}
		if level == wire.Named && leaked == 0 {
			t.Error("named: no name leaves the site, so this test would find none")
		}
		if rooms := len(f.GetRooms()); (rooms == 0) != (level == wire.Minimal) {
			t.Errorf("%s: %d rooms", level, rooms)
		}
	}
}

// TestTextsAreOfTables: neither an alert nor a result takes a text.
func TestTextsAreOfTables(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for name, say := range map[string]func(*wire.Draft){
		"alert":      func(d *wire.Draft) { d.Alert("disk /home/canary is full", true, now, 0) },
		"outcome":    func(d *wire.Draft) { d.Result("c1", "open /home/canary: no such file", now) },
		"command":    func(d *wire.Draft) { d.Result("../canary", wire.OutcomeDone, now) },
		"no metric":  func(d *wire.Draft) { d.Counter(9999, 1) },
		"not a kind": func(d *wire.Draft) { d.Gauge(wire.SessionsOpened, 1, 1, 1) },
	} {
		d := veil(t, wire.Named).Draft(wire.Span{Start: now, End: now})
		say(d)
		if f, err := d.Finish(); err == nil {
			t.Errorf("%s: let pass as %v", name, f)
		}
	}
	d := veil(t, wire.Named).Draft(wire.Span{Start: now, End: now})
	d.Box(wire.BoxFacts{Version: "v1 canary\x1b", Arch: "canary arch", PolicyFault: "canary", Link: "canary", Name: "Hall\n2"})
	f, err := d.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if want := (&wire.Box{Level: "named", Name: "Hall 2"}); !proto.Equal(f.GetBox(), want) {
		t.Errorf("the box is told of as %v, want %v", f.GetBox(), want)
	}
}

// sentBytes is what goes over the line for f, decompressed.
func sentBytes(t *testing.T, f *wire.Frame) []byte {
	t.Helper()
	key := newKeys(t)["Ed25519"]
	data, err := wire.EncodeBatch(newSigner(t, key), &wire.Body{Incarnation: 1, Boot: f.GetBoot(), MonoMs: f.GetMonoMs(), Frames: []*wire.Frame{f}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := wire.DecodeBatch(data, boxID)
	if err != nil {
		t.Fatal(err)
	}
	body, err := b.Decode()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return append(raw, data...)
}
