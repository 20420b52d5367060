package projection_test

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projection/projectiontest"
	"signalbox/sync/wire"

	"google.golang.org/protobuf/proto"
)

func fleet(seed uint64, n int) []*projectiontest.Plant {
	plants := make([]*projectiontest.Plant, n)
	for i := range plants {
		plants[i] = projectiontest.NewPlant(seed, i)
	}
	return plants
}

// history makes the messages of a fleet: batches of several sizes, of which
// some come twice, late, in another order, or at first not at all.
func history(seed uint64, plants []*projectiontest.Plant, minutes int) []projection.Message {
	rng := rand.New(rand.NewPCG(seed, 77))
	var stream []projection.Message
	var late []projection.Message
	send := func(p *projectiontest.Plant, b *wire.Body) {
		if b == nil {
			return
		}
		m := projection.Message{Box: p.ID, Body: b, Time: p.Now.Add(20 * time.Millisecond)}
		switch rng.IntN(10) {
		case 0:
			stream = append(stream, m, m)
		case 1:
			late = append(late, m)
		case 2:
			old := p.Sent[rng.IntN(len(p.Sent))]
			stream = append(stream, m, projection.Message{Box: p.ID, Body: old, Time: m.Time})
		default:
			stream = append(stream, m)
		}
	}
	offline := make([]int, len(plants))
	for minute := range minutes {
		for i, p := range plants {
			p.Minute()
			switch {
			case offline[i] > 0:
				offline[i]--
				if rng.IntN(30) == 0 {
					p.Merge()
				}
			case rng.IntN(60) == 0:
				offline[i] = rng.IntN(150)
			case rng.IntN(400) == 0:
				for b := p.Body(60); b != nil; b = p.Body(60) {
					send(p, b)
				}
				p.Restart()
			default:
				send(p, p.Body(1+rng.IntN(60)))
			}
		}
		if len(late) > 0 && minute%7 == 0 {
			rng.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
			n := rng.IntN(len(late) + 1)
			stream = append(stream, resent(late[:n], plants[0].Now)...)
			late = late[n:]
		}
	}
	for _, p := range plants {
		for b := p.Body(60); b != nil; b = p.Body(60) {
			send(p, b)
		}
	}
	stream = append(stream, resent(late, plants[0].Now)...)
	for i := range stream {
		stream[i].Seq = uint64(i + 1)
		if i > 0 && stream[i].Time.Before(stream[i-1].Time) {
			stream[i].Time = stream[i-1].Time
		}
	}
	return stream
}

// resent are batches sent once more at now: with the same frames, but dated anew.
func resent(late []projection.Message, now time.Time) []projection.Message {
	for i := range late {
		b := proto.CloneOf(late[i].Body)
		b.SentMs, b.MonoMs = now.UnixMilli(), uint64(now.Sub(projectiontest.Epoch).Milliseconds())
		late[i].Body, late[i].Time = b, now.Add(20*time.Millisecond)
	}
	return late
}

func open(t testing.TB) *projection.Projection {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), projection.FileName))
}

func openAt(t testing.TB, path string) *projection.Projection {
	t.Helper()
	p, err := projection.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// feed applies messages in groups of at most n.
func feed(t testing.TB, p *projection.Projection, stream []projection.Message, n int) {
	t.Helper()
	for part := range slices.Chunk(stream, n) {
		_, err := p.Update(func(tx *projection.Tx) error {
			for i := range part {
				if err := tx.Apply(&part[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
