package backups

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/internal/order"
	"signalbox/sync/wire"
)

// store is the bucket. A box has as many names in it as backups are kept,
// T.S.B/0 and so on: a new backup takes the place of the oldest.
type store struct {
	js      jetstream.JetStream
	objects jetstream.ObjectStore
	stream  jetstream.Stream
}

// Subjects of an object store (ADR-20), and how much one of its messages carries.
const (
	chunkSubjects  = "$O." + Bucket + ".C."
	recordSubjects = "$O." + Bucket + ".M."
	chunkBytes     = 128 << 10
)

func recordSubject(name string) string {
	return recordSubjects + base64.URLEncoding.EncodeToString([]byte(name))
}

// kept is a backup and the name it has.
type kept struct {
	wire.Backup
	name string
}

func slotName(box wire.BoxID, i int) string { return fmt.Sprintf("%s/%d", box, i) }

// parseName reads what slotName wrote.
func parseName(name string) (wire.BoxID, bool) {
	id, _, found := strings.Cut(name, "/")
	box, err := wire.ParseBoxID(id)
	return box, found && err == nil
}

// list is what there is of a box, newest first, and a name that is free for the
// next: that of the oldest when all are taken.
func (s *store) list(ctx context.Context, box wire.BoxID) (list []kept, next string, err error) {
	for i := range wire.BackupsKept {
		name := slotName(box, i)
		info, err := s.objects.GetInfo(ctx, name)
		if errors.Is(err, jetstream.ErrObjectNotFound) {
			next = name
			continue
		}
		if err != nil {
			return nil, "", err
		}
		list = append(list, kept{wire.Backup{ID: digestOf(info), Bytes: int64(info.Size), At: info.ModTime.UTC()}, name})
	}
	order.StableBy(list, func(a, b kept) int { return b.At.Compare(a.At) })
	if next == "" {
		next = list[len(list)-1].name
	}
	return list, next, nil
}

// digestOf is the SHA-256 that the object store has computed, "" of what is not
// one of ours.
func digestOf(info *jetstream.ObjectInfo) string {
	raw, err := jetstream.DecodeObjectDigest(info.Digest)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(raw)
}

// find is the backup of a box with that digest.
func (s *store) find(ctx context.Context, box wire.BoxID, id string) (kept, bool, error) {
	list, _, err := s.list(ctx, box)
	for _, k := range list {
		if k.ID == id {
			return k, true, nil
		}
	}
	return kept{}, false, err
}

// put keeps what in gives, whole or not at all, in place of what has the name.
//
// It writes what ObjectStore.Put would, but waits for each piece to be on disk.
// That one writes the record of an object before it knows whether its pieces were
// taken: of a bucket that is full it leaves a record of nothing in place of a
// backup that was good. And here a transfer holds one piece in memory.
func (s *store) put(ctx context.Context, name string, in io.Reader) (b wire.Backup, err error) {
	before, err := s.objects.GetInfo(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return b, err
	}
	info := &jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: chunkBytes}}, Bucket: Bucket, NUID: rand.Text(),
	}
	if err = s.putPieces(ctx, info, in); err == nil {
		err = s.putRecord(ctx, info)
	}
	stale := info
	if err == nil {
		stale = before
		b = wire.Backup{ID: digestOf(info), Bytes: int64(info.Size), At: time.Now().UTC()}
	}
	if stale != nil {
		// Also when whoever has sent it is gone. What is left goes with the sweep.
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiTimeout)
		defer cancel()
		_ = s.stream.Purge(late, jetstream.WithPurgeSubject(chunkSubjects+stale.NUID))
	}
	return b, err
}

func (s *store) putPieces(ctx context.Context, info *jetstream.ObjectInfo, in io.Reader) error {
	hash, piece := sha256.New(), make([]byte, chunkBytes)
	for {
		n, err := in.Read(piece)
		if errors.Is(err, io.EOF) {
			info.Digest = jetstream.GetObjectDigestValue(hash)
			return nil
		}
		if err != nil {
			return err
		}
		hash.Write(piece[:n])
		info.Size += uint64(n)
		info.Chunks++
		if err := s.publish(ctx, &nats.Msg{Subject: chunkSubjects + info.NUID, Data: piece[:n]}); err != nil {
			return err
		}
	}
}

// putRecord puts the record in place of the one before, at one stroke.
func (s *store) putRecord(ctx context.Context, info *jetstream.ObjectInfo) error {
	record, err := json.Marshal(info)
	if err != nil {
		return err
	}
	m := nats.NewMsg(recordSubject(info.Name))
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Data = record
	return s.publish(ctx, m)
}

func (s *store) publish(ctx context.Context, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err := s.js.PublishMsg(ctx, m)
	return err
}

// get opens a backup. If another has taken its place meanwhile it is not found.
func (s *store) get(ctx context.Context, k kept) (io.ReadCloser, error) {
	object, err := s.objects.Get(ctx, k.name)
	if err != nil {
		return nil, err
	}
	info, err := object.Info()
	if err == nil && digestOf(info) != k.ID {
		err = jetstream.ErrObjectNotFound
	}
	if err != nil {
		return nil, errors.Join(err, object.Close())
	}
	return object, nil
}

// all are the backups of every box, from the bucket's records.
func (s *store) all(ctx context.Context) ([]*jetstream.ObjectInfo, error) {
	list, err := s.objects.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		err = nil
	}
	return list, err
}

// remove removes a backup, record first; that it is gone already is no error. It
// leaves no mark, as ObjectStore.Delete does: a bucket that is full takes none.
func (s *store) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	info, err := s.objects.GetInfo(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil
	}
	if err == nil {
		err = s.stream.Purge(ctx, jetstream.WithPurgeSubject(recordSubject(name)))
	}
	if err == nil {
		err = s.stream.Purge(ctx, jetstream.WithPurgeSubject(chunkSubjects+info.NUID))
	}
	return err
}

// removeSite removes what there is of the boxes of a site, T.S.
func (s *store) removeSite(ctx context.Context, site string) (removed int, err error) {
	return s.removeThat(ctx, func(info *jetstream.ObjectInfo, box wire.BoxID) bool { return box.Tenant+"."+box.Site == site })
}

func (s *store) removeThat(ctx context.Context, match func(*jetstream.ObjectInfo, wire.BoxID) bool) (removed int, err error) {
	list, err := s.all(ctx)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, info := range list {
		if box, ok := parseName(info.Name); ok && match(info, box) {
			if err := s.remove(ctx, info.Name); err != nil {
				errs = append(errs, err)
				continue
			}
			removed++
		}
	}
	return removed, errors.Join(errs...)
}

// sweep removes the backups of sites that have been unknown for long, and pieces
// that no backup has: a node that dies while it takes one leaves them.
//
// What is younger than stray and piece stays.
func (s *store) sweep(ctx context.Context, known func(tenant, site string) bool, stray, piece time.Duration) (removed int, err error) {
	removed, err = s.removeThat(ctx, func(info *jetstream.ObjectInfo, box wire.BoxID) bool {
		return !known(box.Tenant, box.Site) && time.Since(info.ModTime) >= stray
	})
	if err != nil {
		return removed, err
	}
	// The pieces are listed first: a backup that is whole by now is in the list of
	// those, and one under way has a piece that is young.
	found, err := s.stream.Info(ctx, jetstream.WithSubjectFilter(chunkSubjects+">"))
	if err != nil {
		return removed, err
	}
	whole, err := s.all(ctx)
	if err != nil {
		return removed, err
	}
	for _, info := range whole {
		delete(found.State.Subjects, chunkSubjects+info.NUID)
	}
	for subject := range found.State.Subjects {
		last, err := s.stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && time.Since(last.Time) < piece {
			continue
		}
		if err == nil {
			err = s.stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// size is what the bucket takes.
func (s *store) size(ctx context.Context) (uint64, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	return info.State.Bytes, nil
}
