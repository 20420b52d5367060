package backups

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"signalbox/sync/cloud/gateway"
	"signalbox/sync/wire"
)

// box is what a node remembers of a box that has been here.
type box struct {
	busy     bool          // guarded by Backups.mu
	up, down *rate.Limiter // of backups
}

// What a box may do: six backups at once, then one in ten minutes. It reads twice
// as often, since a box that recovers may have to try.
const (
	upEvery, upBurst     = 10 * time.Minute, 6
	downEvery, downBurst = 5 * time.Minute, 12
)

// ServeHTTP implements http.Handler.
func (b *Backups) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, wire.BackupPath), "/")
	put := r.Method == http.MethodPut
	switch {
	case !put && r.Method != http.MethodGet || put && id == "":
		b.refuse(w, refusedMethod, 0)
		return
	case id != "" && wire.CheckBackupID(id) != nil:
		b.refuse(w, refusedID, 0)
		return
	case put && r.ContentLength > wire.MaxBackupBytes:
		b.refuse(w, refusedOversize, 0)
		return
	case put && r.ContentLength < 0:
		b.refuse(w, refusedLength, 0)
		return
	}
	c, ok := b.cfg.Identify(w, r)
	if !ok {
		return
	}
	s := b.store.Load()
	if s == nil {
		b.refuse(w, refusedBroker, 0)
		return
	}
	state, why := b.begin(c.Box)
	if why != nil {
		b.refuse(w, why, 5*time.Second)
		return
	}
	defer b.end(state)
	ctx, cancel := context.WithTimeout(r.Context(), transferMost)
	defer cancel()
	switch {
	case put:
		b.put(ctx, w, r, s, c, state, id)
	case id == "":
		b.list(ctx, w, s, c)
	default:
		b.get(ctx, w, s, c, state, id)
	}
}

// begin counts a request of a box in.
func (b *Backups) begin(id wire.BoxID) (*box, *refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state := b.boxes[id.String()]
	if state == nil {
		state = &box{up: rate.NewLimiter(rate.Every(upEvery), upBurst), down: rate.NewLimiter(rate.Every(downEvery), downBurst)}
		b.boxes[id.String()] = state
	}
	switch {
	case state.busy:
		return nil, refusedBusy
	case b.active >= b.cfg.MaxTransfers:
		return nil, refusedLoad
	}
	state.busy = true
	b.active++
	return state, nil
}

func (b *Backups) end(state *box) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state.busy = false
	b.active--
}

// allowed takes one of what a box may do, or says when there is one.
func allowed(l *rate.Limiter) (wait time.Duration) {
	now := time.Now()
	r := l.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// put takes a backup. Nothing of the body is asked for before it is known to be
// wanted: a box sends it after "100 Continue".
func (b *Backups) put(ctx context.Context, w http.ResponseWriter, r *http.Request, s *store, c gateway.Caller, state *box, id string) {
	list, next, err := s.list(ctx, c.Box)
	if err != nil {
		b.fail(w, c, err)
		return
	}
	for _, k := range list {
		if k.ID == id { // its answer was lost
			b.answer(w, c, k.Backup)
			return
		}
	}
	if wait := allowed(state.up); wait > 0 {
		b.refuse(w, refusedRate, wait)
		return
	}
	in := &body{in: r.Body, control: http.NewResponseController(w), hash: sha256.New(), left: r.ContentLength, want: id}
	made, err := s.put(ctx, next, in)
	if err != nil {
		b.fail(w, c, err)
		return
	}
	b.counts.stored.Add(1)
	b.counts.in.Add(uint64(made.Bytes))
	if !b.cfg.Registry.HasSite(c.Box.Tenant, c.Box.Site) {
		_ = s.remove(ctx, next) // its site went meanwhile; what is left goes with the sweep
		b.refuse(w, refusedGone, 0)
		return
	}
	b.answer(w, c, made)
}

// list tells what there is.
func (b *Backups) list(ctx context.Context, w http.ResponseWriter, s *store, c gateway.Caller) {
	list, _, err := s.list(ctx, c.Box)
	if err != nil {
		b.fail(w, c, err)
		return
	}
	all := wire.Backups{Backups: []wire.Backup{}}
	for _, k := range list {
		all.Backups = append(all.Backups, k.Backup)
	}
	b.answer(w, c, all)
}

// answer sends a document that the cloud's proof covers.
func (b *Backups) answer(w http.ResponseWriter, c gateway.Caller, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		b.fail(w, c, err)
		return
	}
	if !c.Proof.Prove(w, body) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(chunkWait))
	_, _ = w.Write(body)
}

// get gives a backup out. The box knows its digest.
func (b *Backups) get(ctx context.Context, w http.ResponseWriter, s *store, c gateway.Caller, state *box, id string) {
	k, ok, err := s.find(ctx, c.Box, id)
	if err != nil {
		b.fail(w, c, err)
		return
	}
	if !ok {
		b.refuse(w, refusedNotFound, 0)
		return
	}
	if wait := allowed(state.down); wait > 0 {
		b.refuse(w, refusedRate, wait)
		return
	}
	object, err := s.get(ctx, k)
	if err != nil {
		b.fail(w, c, err)
		return
	}
	defer object.Close()
	if !c.Proof.Prove(w, nil) {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(k.Bytes, 10))
	w.Header().Set("Cache-Control", "no-store")
	n, err := io.Copy(patient{w, http.NewResponseController(w)}, object)
	b.counts.out.Add(uint64(n))
	if err != nil {
		b.counts.broken.Add(1)
		return // the box sees that it is short
	}
	b.counts.given.Add(1)
}

// patient gives each write as long as chunkWait.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(chunkWait))
	return p.ResponseWriter.Write(b)
}

// body is an upload: it ends well only when it has its length and its digest, so
// that nothing else is ever kept.
type body struct {
	in      io.Reader
	control *http.ResponseController
	hash    hash.Hash
	left    int64
	want    string
}

// Read fills p: each read becomes a message of the broker's.
func (r *body) Read(p []byte) (int, error) {
	if r.left == 0 {
		if hex.EncodeToString(r.hash.Sum(nil)) != r.want {
			return 0, errDigest
		}
		return 0, io.EOF
	}
	_ = r.control.SetReadDeadline(time.Now().Add(chunkWait))
	n, err := io.ReadFull(r.in, p[:min(int64(len(p)), r.left)])
	if err != nil {
		return 0, errBody
	}
	r.hash.Write(p[:n])
	r.left -= int64(n)
	return n, nil
}

var (
	errDigest = errors.New("the body does not have its digest")
	errBody   = errors.New("the body could not be read")
)

// JetStream API error codes for no more room (server/errors.json).
const (
	codeStorage   jetstream.ErrorCode = 10047 // of the server or the account
	codeStoreFull jetstream.ErrorCode = 10077 // of the stream
)

// fail answers with what an error means.
func (b *Backups) fail(w http.ResponseWriter, c gateway.Caller, err error) {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, errDigest):
		b.refuse(w, refusedDigest, 0)
	case errors.Is(err, errBody):
		b.refuse(w, refusedBody, 0)
	case errors.Is(err, jetstream.ErrObjectNotFound):
		b.refuse(w, refusedNotFound, 0)
	case errors.As(err, &api) && (api.ErrorCode == codeStorage || api.ErrorCode == codeStoreFull):
		b.log.Warn("there is no room for backups; raise nats.backups_max", "site", c.Box.Site, "node", c.Box.Box, "err", err)
		b.refuse(w, refusedFull, time.Hour)
	default:
		b.log.Warn("a backup cannot be kept or given out", "site", c.Box.Site, "node", c.Box.Box, "err", err)
		b.refuse(w, refusedBroker, 0)
	}
}
