package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/projection"
)

// Report is what Verify has found.
type Report struct {
	Seq uint64 // of the stream, up to which both were compared
	// Node is what the node has, Streams what its streams say. With Whole both
	// hashes must be equal. Without it the node knows more than the streams: it
	// began with closed hours, outlived a stream, or the stream's oldest messages
	// have gone by age; then History is what can be compared.
	Node, Streams projection.Snapshot
	Whole         bool
}

// Equal tells whether what can be compared is equal.
func (r *Report) Equal() bool {
	if r.Whole {
		return r.Node.Hash == r.Streams.Hash
	}
	return r.Node.History == r.Streams.History
}

// verifyPrefix begins the names of the folders that Verify makes.
const verifyPrefix = "verify-"

// Sweep removes from dir what a Verify has left that was killed. None may run.
func Sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, verifyPrefix+"*"))
	for _, name := range left {
		err = errors.Join(err, os.RemoveAll(name))
	}
	return err
}

// Verify reads the streams anew into a projection in dir, which is removed
// after it, and compares that with node at the same message. The node may go on
// meanwhile. It also reads every record of node's file.
func Verify(ctx context.Context, js jetstream.JetStream, keys Keys, node *projection.Projection, dir string) (r Report, err error) {
	if r.Node, err = node.Snapshot(); err != nil {
		return r, err
	}
	if err := node.Check(); err != nil {
		return r, err
	}
	r.Seq = r.Node.Hash.Seq
	dir, err = os.MkdirTemp(dir, verifyPrefix)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	again, err := projection.Open(filepath.Join(dir, projection.FileName))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, again.Close()) }()
	if err := replay(ctx, js, keys, again, r.Seq, !r.Node.Whole); err != nil {
		return r, fmt.Errorf("read the streams again: %w", err)
	}
	r.Streams, err = again.Snapshot()
	r.Whole = r.Node.Whole && r.Streams.Whole
	return r, err
}

// replay applies the stream up to seq to an empty projection, after closed hours
// if they are wanted.
func replay(ctx context.Context, js jetstream.JetStream, keys Keys, into *projection.Projection, seq uint64, hours bool) error {
	if hours {
		if _, err := loadRollups(ctx, js, into, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
	}
	stream, err := js.Stream(ctx, streamUp)
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	_, err = into.Update(func(tx *projection.Tx) error { return tx.Restart(info.Created, info.State.FirstSeq <= 1) })
	if err != nil || seq == 0 {
		return err
	}
	j := newJudge(keys)
	return readAll(ctx, js, streamUp, seq, func(batch []jetstream.Msg) error {
		_, err := into.Update(func(tx *projection.Tx) error {
			for _, m := range batch {
				meta, err := m.Metadata()
				if err != nil {
					return err
				}
				message := j.message(ctx, m.Subject(), m.Data(), meta)
				if err := tx.Apply(&message); err != nil {
					return err
				}
			}
			return nil
		})
		return err
	})
}
