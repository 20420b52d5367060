//go:build linux && interop

package interop_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/loadgen"
)

// TestKills kills the process again and again, under traffic, the moment after
// it has made and deleted a room, and sometimes while it starts. Rooms and
// members stay, every socket comes back by itself and resumes, and no message is
// lost, repeated or reordered.
func TestKills(t *testing.T) {
	t.Parallel()
	const devices, kills = 4, 12
	b := startBox(t, nil, "")
	clients := make([]*device, devices)
	for i := range clients {
		clients[i] = b.device(fmt.Sprint("device-", i))
	}
	manyRooms(t, b, clients)
	before := roomsOf(b)
	time.Sleep(500 * time.Millisecond) // a session is safe from its first commit on

	traffic := startTraffic(t, clients, "floor")
	rng := rand.New(rand.NewPCG(19, 84))
	for n := range kills {
		time.Sleep(time.Duration(300+rng.IntN(700)) * time.Millisecond)
		made := fmt.Sprint("made-", n) // what is acknowledged is on disk
		before[made] = cliJSON[api.Room](b, "room", "create", made, "--pinned")
		if n > 0 {
			gone := fmt.Sprint("made-", n-1)
			delete(before, gone)
			b.cli("room", "delete", gone)
		}
		b.kill()
		if n%3 == 2 { // and once more on its way up
			b.launch()
			time.Sleep(time.Duration(5+rng.IntN(100)) * time.Millisecond)
			b.kill()
		}
		began := time.Now()
		b.start()
		t.Logf("kill %d: serves again %v after its start", n+1, time.Since(began).Round(time.Millisecond))
		checkRooms(t, before, roomsOf(b))
	}
	time.Sleep(500 * time.Millisecond)
	traffic.settle()
	for _, d := range clients {
		if c := d.Counts(); c.Gaps != 0 || c.Reset != 0 || c.Resumes != c.Connects-1 || c.Resumes < kills {
			t.Errorf("%s: %+v, want every return to be a resume", d.name, c)
		}
	}
	for _, m := range cliJSON[api.Room](b, "room", "show", "floor").Members {
		if m.State != "online" {
			t.Errorf("member %s is %s after everybody has come back", m.Subject, m.State)
		}
	}
}

// manyRooms makes rooms in every way there is, all devices in the ephemeral ones.
func manyRooms(t *testing.T, b *box, clients []*device) {
	t.Helper()
	b.cli("room", "create", "line-3", "--pinned", "--description", "Press line 3", "--capacity", "8", "--allow", "device-*")
	admin := b.cli("token", "admin")
	for _, r := range []api.RoomCreate{{Name: "hall", Description: "made by the API"}, {Name: "yard/gate-1", Pinned: true}} {
		decode[api.Room](b.web(nil, nil).ask("POST", "/v1/rooms", admin, r), http.StatusCreated)
	}
	for _, d := range clients {
		for _, room := range []string{"floor", "hall", "line-3"} { // the first is made by joining it
			d.join(room)
		}
	}
	clients[0].send(loadgen.Send{Type: "set", ID: 9, Room: "line-3", Key: "layout", Data: []byte(`{"cols":2}`)})
	clients[0].awaitThat("the metadata to be set", func(f loadgen.Frame) bool { return f.Type == "ok" && f.ID == 9 })
}

func roomsOf(b *box) map[string]api.Room {
	b.t.Helper()
	rooms := map[string]api.Room{}
	for _, r := range cliJSON[[]api.Room](b, "room", "list") {
		rooms[r.Name] = r
	}
	return rooms
}

// checkRooms wants the rooms of before, members and all. Only versions may grow.
func checkRooms(t *testing.T, before, now map[string]api.Room) {
	t.Helper()
	if got, want := slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(before)); !slices.Equal(got, want) {
		t.Errorf("rooms %v, want %v", got, want)
	}
	for name, want := range before {
		got := now[name]
		if got.Version < want.Version {
			t.Errorf("room %s went back from version %d to %d", name, want.Version, got.Version)
		}
		got.Version = want.Version
		gotText, _ := json.Marshal(got)
		wantText, _ := json.Marshal(want)
		if string(gotText) != string(wantText) {
			t.Errorf("room %s is %s, want %s", name, gotText, wantText)
		}
	}
}

// traffic is devices that all send numbers to all, and what each has got.
type traffic struct {
	t       *testing.T
	room    string
	clients []*device
	stop    chan struct{}
	senders sync.WaitGroup
	sent    []int // of each sender; to be read once they have ended

	receivers sync.WaitGroup
	over      chan struct{}
	mu        sync.Mutex
	last      []map[string]int // of each receiver, by sender
}

// startTraffic begins, 40 messages a second from each, in a room they are in.
func startTraffic(t *testing.T, clients []*device, room string) *traffic {
	tr := &traffic{
		t: t, room: room, clients: clients, stop: make(chan struct{}), over: make(chan struct{}),
		sent: make([]int, len(clients)), last: make([]map[string]int, len(clients)),
	}
	for i := range clients {
		tr.last[i] = map[string]int{}
		tr.senders.Go(func() { tr.sendAll(i) })
		tr.receivers.Go(func() { tr.receiveAll(i) })
	}
	t.Cleanup(tr.end)
	return tr
}

func (tr *traffic) sendAll(i int) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tr.stop:
			return
		case <-tick.C:
		}
		tr.sent[i]++
		s := loadgen.Send{Type: "message", Room: tr.room, Data: fmt.Appendf(nil, "%d", tr.sent[i])}
		if _, err := tr.clients[i].Send(s); err != nil {
			tr.t.Error(err)
			return
		}
	}
}

func (tr *traffic) receiveAll(i int) {
	for {
		select {
		case f, ok := <-tr.clients[i].Frames():
			if !ok {
				return
			}
			if f.Type == "message" {
				tr.note(i, f)
			}
		case <-tr.over:
			return
		}
	}
}

// note wants the next number of each sender.
func (tr *traffic) note(i int, f loadgen.Frame) {
	var n int
	if err := json.Unmarshal(f.Data, &n); err != nil {
		tr.t.Errorf("%s got %q: %v", tr.clients[i].name, f.Data, err)
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if last := tr.last[i][f.From]; n != last+1 {
		tr.t.Errorf("%s got %d from %s after %d", tr.clients[i].name, n, f.From, last)
	}
	tr.last[i][f.From] = max(n, tr.last[i][f.From])
}

// settle ends the sending and waits until everything has arrived.
func (tr *traffic) settle() {
	tr.t.Helper()
	close(tr.stop)
	tr.senders.Wait()
	waitFor(tr.t, "every message to be acknowledged and to arrive", 30*time.Second, func() bool {
		return !slices.ContainsFunc(tr.clients, func(d *device) bool { return d.Unacked() > 0 }) && tr.missing() == ""
	})
	total := 0
	for _, n := range tr.sent {
		total += n
	}
	tr.t.Logf("%d messages to %d others each", total, len(tr.clients)-1)
	tr.end()
}

// missing names a receiver that waits for messages, "" when none does.
func (tr *traffic) missing() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for i, got := range tr.last {
		for j, from := range tr.clients {
			if i != j && got[from.Member()] != tr.sent[j] {
				return fmt.Sprintf("%s has %d of the %d messages of %s", tr.clients[i].name, got[from.Member()], tr.sent[j], from.name)
			}
		}
	}
	return ""
}

// end stops what still runs.
func (tr *traffic) end() {
	select {
	case <-tr.stop:
	default:
		close(tr.stop)
	}
	select {
	case <-tr.over:
	default:
		close(tr.over)
	}
	tr.senders.Wait()
	tr.receivers.Wait()
}
