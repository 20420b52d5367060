package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// refusal is why a request was not let in. Its code is the metric label.
type refusal struct {
	code   string
	status int
	text   string
}

// Refusals.
var (
	refusedMethod    = &refusal{"method", http.StatusMethodNotAllowed, "use GET with a WebSocket for the tunnel, POST for frames"}
	refusedUpgrade   = &refusal{"no_websocket", http.StatusUpgradeRequired, "this is a WebSocket of subprotocol signalbox.sync.v1; a proxy may have taken that out: use POST /sync/v1/frames"}
	refusedOrigin    = &refusal{"origin", http.StatusForbidden, "this is not for browsers"}
	refusedSource    = &refusal{"source", http.StatusTooManyRequests, "too many refused attempts from this address; try later"}
	refusedIdentity  = &refusal{"identity", http.StatusUnauthorized, ""} // identity writes that itself
	refusedRevoked   = &refusal{"revoked", http.StatusForbidden, "this box has been revoked or its site removed"}
	refusedEnded     = &refusal{"ended", http.StatusUnauthorized, "the certificate has ended; renew it"}
	refusedFull      = &refusal{"full", http.StatusServiceUnavailable, "this node has as many tunnels as it takes; try later or another"}
	refusedBusy      = &refusal{"busy", http.StatusTooManyRequests, "this box is sending already"}
	refusedRate      = &refusal{"rate", http.StatusTooManyRequests, "this box sends more than a box has to say"}
	refusedBroker    = &refusal{"broker", http.StatusServiceUnavailable, "the broker cannot be reached; try later"}
	refusedNoAnswer  = &refusal{"no_answer", http.StatusServiceUnavailable, "no node answers where the box stands; send the same again"}
	refusedStopping  = &refusal{"stopping", http.StatusServiceUnavailable, "this node is stopping; try again"}
	refusedOversize  = &refusal{"oversize", http.StatusRequestEntityTooLarge, "a batch has at most 262144 bytes"}
	refusedBody      = &refusal{"body", http.StatusBadRequest, "the body could not be read"}
	refusedAsk       = &refusal{"ask", http.StatusBadRequest, "the header Signalbox-Ask must be an Ask in JSON"}
	refusedDigest    = &refusal{"digest", http.StatusBadRequest, "the proof does not cover the body; a proxy may have changed it"}
	refusedHandshake = &refusal{"handshake", http.StatusBadRequest, "the WebSocket handshake failed"}
)

// refusals are all, so that metrics show zeros.
var refusals = []*refusal{
	refusedMethod, refusedUpgrade, refusedOrigin, refusedSource, refusedIdentity, refusedRevoked, refusedEnded, refusedFull, refusedBusy,
	refusedRate, refusedBroker, refusedNoAnswer, refusedStopping, refusedOversize, refusedBody, refusedAsk, refusedDigest, refusedHandshake,
}

// refuse answers and counts. wait, if any, is when to try again.
func (g *Gateway) refuse(w http.ResponseWriter, why *refusal, wait time.Duration) {
	g.counts.refused.add(why)
	if wait == 0 && why.status == http.StatusServiceUnavailable {
		wait = 5 * time.Second
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(why.status)
	body, _ := json.Marshal(map[string]string{"error": why.code, "message": why.text})
	_, _ = w.Write(append(body, '\n'))
}

// Why tunnels end.
const (
	closedByBox    = "box"      // it said so
	closedLost     = "lost"     // the connection broke
	closedSilent   = "silent"   // no answer to a ping
	closedStuck    = "stuck"    // it takes no bytes
	closedBroker   = "broker"   // the broker ended the connection
	closedReplaced = "replaced" // by a newer tunnel of the box
	closedEnded    = "ended"    // the certificate did
	closedRevoked  = "revoked"
	closedRestart  = "restart"
	closedMessage  = "message" // a WebSocket message that is not binary, or too long
)

// closings are all, those of the guard too.
var closings = append([]string{
	closedByBox, closedLost, closedSilent, closedStuck, closedBroker, closedReplaced, closedEnded, closedRevoked, closedRestart, closedMessage,
}, violations...)

// counts are the counters of a gateway.
type counts struct {
	refused    refusedCounts
	closed     closedCounts
	challenges atomic.Uint64
	opened     atomic.Uint64
	posts      atomic.Uint64
	in, out    atomic.Uint64
}

type refusedCounts [32]atomic.Uint64

func (c *refusedCounts) add(why *refusal) {
	for i, r := range refusals {
		if r == why {
			c[i].Add(1)
		}
	}
}

type closedCounts [32]atomic.Uint64

func (c *closedCounts) add(why string) {
	for i, r := range closings {
		if r == why {
			c[i].Add(1)
		}
	}
}

// Stats are counters since the start, and what is open now. Refused and Closed
// have every reason there is.
type Stats struct {
	Tunnels    int
	Posting    int
	Boxes      int // with a tunnel
	Challenges uint64
	Opened     uint64
	Posts      uint64 // answered with a standing
	BytesIn    uint64 // from boxes, of tunnels without WebSocket framing, and of posts
	BytesOut   uint64
	Refused    map[string]uint64
	Closed     map[string]uint64
}

// Stats returns a copy.
func (g *Gateway) Stats() Stats {
	s := Stats{
		Challenges: g.counts.challenges.Load(), Opened: g.counts.opened.Load(), Posts: g.counts.posts.Load(),
		BytesIn: g.counts.in.Load(), BytesOut: g.counts.out.Load(),
		Refused: make(map[string]uint64), Closed: make(map[string]uint64),
	}
	for i, r := range refusals {
		s.Refused[r.code] = g.counts.refused[i].Load()
	}
	for i, r := range closings {
		s.Closed[r] = g.counts.closed[i].Load()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Tunnels, s.Posting = g.open, g.posts
	for _, b := range g.boxes {
		if len(b.tunnels) > 0 {
			s.Boxes++
		}
	}
	return s
}
