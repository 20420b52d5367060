package signaling_test

import (
	"fmt"
	"testing"

	"signalbox/appliance/loadgen"
)

// Two devices meet and negotiate; the frames are those of PROTOCOL.md.
func TestMeetAndNegotiate(t *testing.T) {
	b := start(t, nil)
	cam, panel := b.device("cam-7"), b.device("panel-2")
	first := join(t, cam, "line-3")
	if first.Joined != 1 || first.Count != 1 {
		t.Errorf("first joiner: ordinal %d of %d, want 1 of 1", first.Joined, first.Count)
	}
	send(t, panel, loadgen.Send{Type: "join", ID: 1, Room: "line-3", Meta: jsonOf(`{"kind":"panel"}`)})
	await(t, panel, "joined")
	snap := await(t, panel, "room")
	if len(snap.Members) != 2 || snap.Members[0].Subject != "cam-7" || snap.Members[0].Polite == nil || !*snap.Members[0].Polite {
		t.Fatalf("snapshot %+v, want cam-7 first, towards whom the later joiner is polite", snap.Members)
	}
	await(t, cam, "presence")

	data := `{"type":"offer","sdp":"v=0\r\n…  \"x\" é"}`
	send(t, panel, loadgen.Send{Type: "offer", ID: 2, Room: "line-3", To: cam.Member(), Gen: 2, Data: jsonOf("%s", data)})
	offer := await(t, cam, "offer")
	if string(offer.Data) != data {
		t.Errorf("data %s, want the same bytes %s", offer.Data, data)
	}
	if offer.From != panel.Member() || offer.Gen != 2 || *offer.Polite {
		t.Errorf("offer %+v, want from the panel, generation 2, to the impolite side", offer)
	}
	send(t, cam, loadgen.Send{Type: "answer", ID: 3, Room: "line-3", To: panel.Member(), Gen: 2, Data: jsonOf(`{"type":"answer"}`)})
	await(t, panel, "answer")
	if s := await(t, cam, "sent"); s.Status != "delivered" || s.ID != 3 {
		t.Errorf("receipt %+v, want delivered", s)
	}
	send(t, cam, loadgen.Send{Type: "bye", Room: "line-3", To: panel.Member(), Gen: 2})
	await(t, panel, "bye")
}

// A candidate that overtakes its description waits for it.
func TestCandidatesWaitForTheirDescription(t *testing.T) {
	b := start(t, nil)
	a, z := b.device("a"), b.device("z")
	join(t, a, "r")
	join(t, z, "r")
	for i := range 3 {
		send(t, a, loadgen.Send{Type: "candidate", Room: "r", To: z.Member(), Gen: 3, Data: jsonOf(`{"n":%d}`, i)})
	}
	send(t, a, loadgen.Send{Type: "offer", Room: "r", To: z.Member(), Gen: 3, Data: jsonOf(`{}`)})
	send(t, a, loadgen.Send{Type: "candidate", Room: "r", To: z.Member(), Gen: 3, Data: jsonOf(`{"n":3}`)})
	got := ""
	for range 5 {
		f := awaitThat(t, z, "a negotiation frame", func(f loadgen.Frame) bool { return f.Type == "offer" || f.Type == "candidate" })
		got += f.Type[:1] + string(f.Data) + " "
	}
	if want := `o{} c{"n":0} c{"n":1} c{"n":2} c{"n":3} `; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// In a glare the impolite side's offer wins by its generation alone.
func TestGlareIsDecidedByGeneration(t *testing.T) {
	b := start(t, nil)
	impolite, polite := b.device("first"), b.device("second")
	join(t, impolite, "r")
	join(t, polite, "r")
	send(t, impolite, loadgen.Send{Type: "offer", Room: "r", To: polite.Member(), Gen: 3, Data: jsonOf(`{}`)})
	await(t, polite, "offer")
	send(t, polite, loadgen.Send{Type: "offer", ID: 9, Room: "r", To: impolite.Member(), Gen: 2, Data: jsonOf(`{}`)})
	if e := await(t, polite, "error"); e.ErrorCode() != "stale_generation" || e.Gen != 3 {
		t.Errorf("late offer of generation 2: %s at %d, want stale_generation at 3", e.ErrorCode(), e.Gen)
	}
	// The other order: both pass, and the receivers know which one counts.
	send(t, polite, loadgen.Send{Type: "offer", Room: "r", To: impolite.Member(), Gen: 4, Data: jsonOf(`{}`)})
	await(t, impolite, "offer")
	send(t, impolite, loadgen.Send{Type: "offer", Room: "r", To: polite.Member(), Gen: 5, Data: jsonOf(`{}`)})
	if f := await(t, polite, "offer"); f.Gen != 5 || !*f.Polite {
		t.Errorf("offer %+v, want generation 5 to the polite side", f)
	}
}

func TestReceipts(t *testing.T) {
	b := start(t, nil)
	a, z := b.device("a"), b.device("z")
	join(t, a, "r")
	join(t, z, "r")
	status := func(id uint64) string {
		t.Helper()
		return awaitThat(t, a, fmt.Sprint("receipt ", id), func(f loadgen.Frame) bool { return f.Type == "sent" && f.ID == id }).Status
	}
	send(t, a, loadgen.Send{Type: "message", ID: 1, Room: "r", To: "m_nobody", Data: jsonOf("1")})
	if got := status(1); got != "absent" {
		t.Errorf("to nobody: %s, want absent", got)
	}
	send(t, a, loadgen.Send{Type: "message", ID: 2, Room: "r", To: z.Member(), Data: jsonOf("2")})
	if got := status(2); got != "delivered" {
		t.Errorf("to a member: %s, want delivered", got)
	}
	send(t, a, loadgen.Send{Type: "message", ID: 3, Room: "r", Data: jsonOf("3")})
	if got := status(3); got != "stored" {
		t.Errorf("to the room: %s, want stored", got)
	}
	// The same key again is not delivered twice.
	for id := range uint64(2) {
		send(t, a, loadgen.Send{Type: "message", ID: 10 + id, Key: "k1", Room: "r", To: z.Member(), Data: jsonOf("4")})
		status(10 + id)
	}
	send(t, a, loadgen.Send{Type: "message", Room: "r", To: z.Member(), Data: jsonOf("5")})
	got := ""
	for range 4 {
		got += string(await(t, z, "message").Data)
	}
	if got != "2345" {
		t.Errorf("messages %s, want 2345", got)
	}
}

func TestRoomState(t *testing.T) {
	b := start(t, nil)
	a, z := b.device("a"), b.device("z")
	join(t, a, "r")
	join(t, z, "r")
	zero := uint64(0)
	send(t, a, loadgen.Send{Type: "set", ID: 1, Room: "r", Key: "layout", Data: jsonOf(`{"cols":2}`), Version: &zero})
	ok := await(t, a, "ok")
	st := await(t, z, "state")
	if st.Key != "layout" || string(st.Data) != `{"cols":2}` || st.Version != ok.Version || st.From != a.Member() {
		t.Errorf("state %+v, want what was set at version %d", st, ok.Version)
	}
	send(t, z, loadgen.Send{Type: "set", ID: 2, Room: "r", Key: "layout", Data: jsonOf(`1`), Version: &zero})
	if e := await(t, z, "error"); e.ErrorCode() != "version_conflict" || e.Version != ok.Version {
		t.Errorf("late compare-and-set: %s at %d, want version_conflict at %d", e.ErrorCode(), e.Version, ok.Version)
	}
}
