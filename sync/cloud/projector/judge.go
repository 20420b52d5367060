package projector

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

// Why a batch is refused, beside the reasons of wire.Refusal.
const (
	refusedSubject = "subject"     // it came on no subject of a box
	refusedUnknown = "unknown"     // no such box was ever enrolled
	refusedNoKey   = "unknown-key" // signed by a key that the box never had
	refusedEnded   = "key-ended"   // signed by a key after it was revoked or replaced
)

const (
	refreshWait  = 2 * time.Second
	refreshEvery = 5 * time.Second
	maxRefreshed = 1024
	maxParsed    = 32 << 10
)

// judge tells whether messages are what they claim. It is used by one goroutine.
type judge struct {
	keys      Keys
	memory    bool                     // answer from that alone: ask nobody for a record
	refreshed map[wire.BoxID]time.Time // when a box's record was last asked for
	parsed    map[uint64]parsedKey     // by Key.ID
}

// parsedKey spares reading a key for every batch that it signed.
type parsedKey struct {
	der    []byte
	public crypto.PublicKey
}

func newJudge(keys Keys) *judge {
	return &judge{keys: keys, refreshed: map[wire.BoxID]time.Time{}, parsed: map[uint64]parsedKey{}}
}

// message makes of a message of the stream what the projection applies.
func (j *judge) message(ctx context.Context, subject string, data []byte, meta *jetstream.MsgMetadata) projection.Message {
	m := projection.Message{Seq: meta.Sequence.Stream, Time: meta.Timestamp.UTC()}
	box, err := wire.ParseSubject(subject)
	if err != nil {
		m.Refused = refusedSubject
		return m
	}
	m.Box = box
	m.Body, m.Refused = j.body(ctx, box, data, m.Time)
	return m
}

// body verifies against the keys as they were at the time of the stream, so
// that a projection built again takes what was taken then.
func (j *judge) body(ctx context.Context, box wire.BoxID, data []byte, at time.Time) (*wire.Body, string) {
	batch, err := wire.DecodeBatch(data, box)
	if err != nil {
		return nil, wire.Reason(err)
	}
	key, refused := j.find(box, batch.GetKey(), at)
	if !j.memory && (refused == refusedUnknown || refused == refusedNoKey) {
		if j.refresh(ctx, box) {
			key, refused = j.find(box, batch.GetKey(), at)
		}
	}
	if refused != "" {
		return nil, refused
	}
	public, err := j.parse(&key)
	if err != nil {
		return nil, wire.Reason(wire.ErrKey)
	}
	if err := batch.Verify(public); err != nil {
		return nil, wire.Reason(err)
	}
	body, err := batch.Decode()
	if err != nil {
		return nil, wire.Reason(err)
	}
	return body, ""
}

func (j *judge) find(box wire.BoxID, id uint64, at time.Time) (Key, string) {
	keys := j.keys.Keys(box)
	if len(keys) == 0 {
		return Key{}, refusedUnknown
	}
	for _, k := range keys {
		switch {
		case k.ID != id:
		case !k.Until.IsZero() && !at.Before(k.Until):
			return Key{}, refusedEnded
		default:
			return k, ""
		}
	}
	return Key{}, refusedNoKey
}

func (j *judge) parse(k *Key) (crypto.PublicKey, error) {
	if p, ok := j.parsed[k.ID]; ok && bytes.Equal(p.der, k.Public) {
		return p.public, nil
	}
	public, err := x509.ParsePKIXPublicKey(k.Public)
	if err != nil {
		return nil, err
	}
	if len(j.parsed) >= maxParsed {
		clear(j.parsed)
	}
	j.parsed[k.ID] = parsedKey{bytes.Clone(k.Public), public}
	return public, nil
}

// refresh asks for a box's record when a key is missing: the box may have
// enrolled at another node a moment ago. One that makes keys up is asked for
// seldom, so that it holds nobody up.
func (j *judge) refresh(ctx context.Context, box wire.BoxID) bool {
	now := time.Now()
	if last, ok := j.refreshed[box]; ok && now.Sub(last) < refreshEvery {
		return false
	}
	if len(j.refreshed) >= maxRefreshed {
		for id, last := range j.refreshed {
			if now.Sub(last) >= refreshEvery {
				delete(j.refreshed, id)
			}
		}
		if len(j.refreshed) >= maxRefreshed {
			return false
		}
	}
	j.refreshed[box] = now
	ctx, cancel := context.WithTimeout(ctx, refreshWait)
	defer cancel()
	return j.keys.Refresh(ctx, box) == nil
}
