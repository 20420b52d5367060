//go:build linux && interop

package interop_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"signalbox/appliance/loadgen"
	"signalbox/sync/wire"
)

// TestNothingPrivateGoesUp writes canaries wherever people and devices may write
// something, and looks for them in every byte that the box sends, from joining
// on: at the levels minimal and default there is none. At named there is, or the
// test would find nothing.
func TestNothingPrivateGoesUp(t *testing.T) {
	t.Parallel()
	c := startCloud(t)
	for _, level := range []wire.Privacy{wire.Minimal, wire.Default} {
		nothingPrivate(t, c, level)
	}
}

func nothingPrivate(t *testing.T, c *cloudNode, level wire.Privacy) {
	t.Helper()
	site := "hall-" + string(level)
	tap := newTap(t, c.ready.HTTP[0])
	b := startBox(t, nil, fmt.Sprintf("[site]\nname = \"Canary hall\"\n[upstream]\nlevel = %q\nurl = [%q]\n", level, tap.url()))
	args := strings.Fields(c.addSite(site).Command)[1:]
	args[1] = tap.url()
	b.cli(args...)
	c.awaitOnline(site, joinTimeout)
	plant(t, b)
	watch(t, c, site)
	c.report(site, wire.PolicyDoc{LogLevel: "debug"})
	if got := c.page(site); got.Totals["signaling.offers"] != 1 || got.Totals["signaling.candidates"] != 1 || got.Row.Rooms != 2 {
		t.Errorf("%d rooms, totals %v; want what was planted to be counted", got.Row.Rooms, got.Totals)
	}
	sent := tap.sent(t, wire.BoxID{Tenant: wire.DefaultTenant, Site: site, Box: b.status().ID})
	if sent.batches < 2 || sent.live == 0 {
		t.Errorf("%d batches and %d live values went up, want some of each", sent.batches, sent.live)
	}
	for _, found := range sent.find("canary") {
		t.Errorf("it went up at level %s: %s", level, found)
	}
	t.Logf("%d bytes went up, %d batches of %d bytes when unpacked, %d live values", sent.bytes, sent.batches, sent.unpacked, sent.live)

	c.report(site, wire.PolicyDoc{Level: string(wire.Named)})
	if sent = tap.sent(t, wire.BoxID{Tenant: wire.DefaultTenant, Site: site, Box: b.status().ID}); len(sent.find("canaryroom")) == 0 {
		t.Error("no name of a room went up at level named, so that this test finds nothing")
	}
}

// plant has two devices and a person say all that can be said.
func plant(t *testing.T, b *box) {
	t.Helper()
	named := func(o *loadgen.Options) { o.Name = "Canary panel" }
	camera, panel := b.device("canary-camera", named), b.device("canary-panel", named)
	b.cli("room", "create", "canaryroom-kept", "--pinned", "--description", "Canary description")
	panel.join("canaryroom")
	will := []byte(`{"text":"Canary will"}`)
	camera.send(loadgen.Send{Type: "join", Room: "canaryroom", Name: "Canary camera", Meta: []byte(`{"kind":"Canary meta"}`), Will: will})
	f := panel.awaitThat("the camera", func(f loadgen.Frame) bool { m, ok := memberOf(f); return ok && m.Subject == "canary-camera" })
	m, _ := memberOf(f)
	camera.send(loadgen.Send{Type: "set", Room: "canaryroom", Key: "canarykey", Data: []byte(`"Canary state"`)})
	camera.tell("canaryroom", "Canary message")
	panel.hear("Canary message")
	sdp := []byte(`{"type":"offer","sdp":"v=0\r\no=- 1 2 IN IP4 192.0.2.77\r\ns=Canary sdp\r\n"}`)
	panel.send(loadgen.Send{Type: "offer", Room: "canaryroom", To: m.Member, Gen: 2, Data: sdp})
	candidate := []byte(`{"candidate":"candidate:1 1 udp 1 canary.local 9 typ host ufrag canary"}`)
	panel.send(loadgen.Send{Type: "candidate", Room: "canaryroom", To: m.Member, Gen: 2, Data: candidate})
	camera.await("candidate")
	b.web(nil, nil).ask(http.MethodGet, "/canary?canary=canary", "canary", nil)
}

// watch looks at the live values of a site for a moment.
func watch(t *testing.T, c *cloudNode, site string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api.base+"/v1/sites/"+site+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	resp, err := c.api.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	seen := make([]byte, 0, 4096)
	for !bytes.Contains(seen, []byte("event: live")) {
		part := make([]byte, 1024)
		n, err := resp.Body.Read(part)
		if seen = append(seen, part[:n]...); err != nil {
			t.Fatalf("live values of %s: %v after %q", site, err, seen)
		}
	}
}

// upstreamBytes is what a box has sent, in the clear and unpacked.
type upstreamBytes struct {
	texts                          []namedText
	bytes, batches, unpacked, live int
}

type namedText struct {
	what string
	text []byte
}

func (u *upstreamBytes) add(what string, text []byte) {
	u.texts = append(u.texts, namedText{what, text})
}

// word is what may be base64 in a header or in JSON.
var word = regexp.MustCompile(`[A-Za-z0-9_+/-]{8,}`)

// find returns where a word stands, in any case, as it is or in base64.
func (u *upstreamBytes) find(what string) (found []string) {
	in := func(text []byte) bool { return bytes.Contains(bytes.ToLower(text), []byte(what)) }
	for _, t := range u.texts {
		hit := in(t.text)
		for _, w := range word.FindAll(t.text, -1) {
			for _, code := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
				plain, _ := code.DecodeString(string(w)) // as far as it can be read
				hit = hit || in(plain)
			}
		}
		if hit {
			found = append(found, fmt.Sprintf("%s: %.300q", t.what, t.text))
		}
	}
	return found
}

// take reads one message that a box publishes.
func (u *upstreamBytes) take(t *testing.T, box wire.BoxID, subject string, payload []byte) {
	t.Helper()
	switch subject {
	case box.FramesSubject():
		batch, err := wire.DecodeBatch(payload, box)
		if err != nil {
			t.Fatal(err)
		}
		body, err := batch.Decode()
		if err != nil {
			t.Fatal(err)
		}
		text, err := proto.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		u.batches++
		u.unpacked += len(text)
		u.add("batch", text)
	case box.LiveSubject():
		u.live++
		u.add("live", payload)
	default:
		u.add(subject, payload)
	}
}
