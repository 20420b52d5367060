package backups

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"signalbox/sync/wire"
)

// refusal is why a request was not carried out. Its code is the metric label.
// What identity refuses it counts itself.
type refusal struct {
	code   string
	status int
	text   string
}

var (
	refusedMethod   = &refusal{"method", http.StatusMethodNotAllowed, "use PUT " + wire.BackupPath + "/DIGEST, or GET with a digest or without"}
	refusedID       = &refusal{"id", http.StatusBadRequest, "the digest in the path must be 64 hex digits in lower case"}
	refusedLength   = &refusal{"length", http.StatusLengthRequired, "say with Content-Length how long the backup is"}
	refusedOversize = &refusal{"oversize", http.StatusRequestEntityTooLarge, "a sealed backup has at most " + strconv.Itoa(wire.MaxBackupBytes) + " bytes"}
	refusedDigest   = &refusal{"digest", http.StatusBadRequest, "the backup does not have the digest in the path; a proxy may have changed it"}
	refusedBody     = &refusal{"body", http.StatusBadRequest, "the backup could not be read to its end"}
	refusedBusy     = &refusal{"busy", http.StatusTooManyRequests, "this box is sending or reading a backup already"}
	refusedRate     = &refusal{"rate", http.StatusTooManyRequests, "this box sends or reads more backups than a box has to"}
	refusedLoad     = &refusal{"load", http.StatusServiceUnavailable, "this node has as many backups under way as it takes; try later or another"}
	refusedFull     = &refusal{"full", http.StatusInsufficientStorage, "the cloud has no room for more backups; who runs it can raise nats.backups_max"}
	refusedBroker   = &refusal{"broker", http.StatusServiceUnavailable, "the broker does not take or give backups now; try later"}
	refusedNotFound = &refusal{"not_found", http.StatusNotFound, "this box has no backup with that digest here"}
	refusedGone     = &refusal{"gone", http.StatusForbidden, "the site of this box has been removed"}
)

// refusals are all, so that metrics show zeros.
var refusals = []*refusal{
	refusedMethod, refusedID, refusedLength, refusedOversize, refusedDigest, refusedBody, refusedBusy, refusedRate, refusedLoad, refusedFull,
	refusedBroker, refusedNotFound, refusedGone,
}

// refuse answers and counts. wait, if any, is when to try again.
func (b *Backups) refuse(w http.ResponseWriter, why *refusal, wait time.Duration) {
	b.counts.refuse(why)
	if wait == 0 && why.status == http.StatusServiceUnavailable {
		wait = 5 * time.Second
	}
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(why.status)
	_ = json.NewEncoder(w).Encode(wire.Failure{Code: why.code, Message: why.text})
}

type counts struct {
	refused       [16]atomic.Uint64 // as refusals
	stored, given atomic.Uint64
	broken        atomic.Uint64
	removed       atomic.Uint64
	in, out       atomic.Uint64
	bytes         atomic.Uint64
}

func (c *counts) refuse(why *refusal) {
	for i, r := range refusals {
		if r == why {
			c.refused[i].Add(1)
		}
	}
}

// Stats are counters since the start, and what there is now. Refused has every
// reason there is.
type Stats struct {
	Active   int    // transfers under way
	Bytes    uint64 // of all backups on disk, a minute ago at most
	MaxBytes int64
	Stored   uint64 // backups taken
	Given    uint64 // backups given out whole
	Broken   uint64 // that ended before
	Removed  uint64 // with their sites
	BytesIn  uint64
	BytesOut uint64
	Refused  map[string]uint64
}

// Stats returns a copy.
func (b *Backups) Stats() Stats {
	s := Stats{
		Bytes: b.counts.bytes.Load(), MaxBytes: b.cfg.MaxBytes, Stored: b.counts.stored.Load(), Given: b.counts.given.Load(),
		Broken: b.counts.broken.Load(), Removed: b.counts.removed.Load(), BytesIn: b.counts.in.Load(), BytesOut: b.counts.out.Load(),
		Refused: make(map[string]uint64, len(refusals)),
	}
	for i, r := range refusals {
		s.Refused[r.code] = b.counts.refused[i].Load()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Active = b.active
	return s
}
