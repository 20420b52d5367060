package projection

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"signalbox/sync/wire"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// FileName is the projection's file in the data folder of a cloud node.
const FileName = "projection.db"

// Projection is one open file. Update is called by one goroutine at a time;
// everything else may be called concurrently with it.
type Projection struct {
	db     *bbolt.DB
	damage error
	at     atomic.Pointer[Position]
	hash   atomic.Pointer[Hash]

	mu    sync.RWMutex // never held across a transaction
	views map[wire.BoxID]*BoxView
	order []*BoxView // by id; nil when a box has been added
	feeds map[*Feed]struct{}
}

// Open opens the file at path, and makes it if there is none. A file written by
// another version is emptied, and one that is damaged moved aside to
// path.damaged (see Damage): the streams have it all.
func Open(path string) (*Projection, error) {
	p, err := openSound(path)
	if err == nil || errors.Is(err, berrors.ErrTimeout) || errors.Is(err, os.ErrPermission) {
		return p, err
	}
	if moveErr := os.Rename(path, path+".damaged"); moveErr != nil {
		return nil, errors.Join(err, moveErr)
	}
	damage := err
	if p, err = open(path); err != nil {
		return nil, err
	}
	p.damage = damage
	return p, nil
}

// openSound does not open a file that was found damaged while it was in use.
func openSound(path string) (*Projection, error) {
	mark := path + condemned
	if _, err := os.Stat(mark); err != nil {
		return open(path)
	}
	if err := os.Remove(mark); err != nil {
		return nil, err
	}
	return nil, ErrDamaged
}

// condemned is the suffix of a file that says so.
const condemned = ".condemned"

// open turns the panics with which bbolt meets a damaged file into errors.
func open(path string) (p *Projection, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w; stop the process that has it open, or delete it: it is built again from the streams", path, err)
	}
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, fault)
		}
		if err != nil {
			p, err = nil, errors.Join(fmt.Errorf("read %s: %w", path, err), db.Close())
		}
	}()
	p = &Projection{db: db, views: map[wire.BoxID]*BoxView{}, feeds: map[*Feed]struct{}{}}
	if err := p.prepare(); err != nil {
		return nil, err
	}
	return p, p.load()
}

// Damage is what was wrong with the file that Open has moved aside, nil if none.
func (p *Projection) Damage() error { return p.damage }

// prepare makes the buckets.
func (p *Projection) prepare() error {
	return p.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(bucketMeta))
		if meta != nil && len(meta.Get(keyForm)) == 1 && meta.Get(keyForm)[0] == form {
			return nil
		}
		for _, name := range slices.Concat(hashed, unowned) {
			if tx.Bucket([]byte(name)) != nil {
				if err := tx.DeleteBucket([]byte(name)); err != nil {
					return err
				}
			}
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			if name == bucketMeta {
				if err := b.Put(keyForm, []byte{form}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// load makes the views of all boxes.
func (p *Projection) load() error {
	return p.db.View(func(tx *bbolt.Tx) error {
		t := begin(tx)
		p.note(t)
		return t.bucket(bucketBoxes).ForEach(func(key, record []byte) error {
			id, err := wire.ParseBoxID(string(key))
			if err != nil {
				return ErrDamaged
			}
			b := t.blank(id)
			if err := b.decode(record); err != nil {
				return err
			}
			p.views[id] = b.view()
			return nil
		})
	})
}

func (p *Projection) note(t *Tx) {
	at := t.at
	p.at.Store(&at)
	p.hash.Store(&Hash{at.Seq, t.digest})
}

// Close closes the file.
func (p *Projection) Close() error { return p.db.Close() }

// Position is how far the projection has come.
func (p *Projection) Position() Position { return *p.at.Load() }

// Hash is the state's hash. Two projections that were made from the same
// messages have the same, however the messages were grouped.
func (p *Projection) Hash() Hash { return *p.hash.Load() }

// Update applies messages in one transaction: all that change does, or nothing.
// After ErrDamaged the next Open begins an empty file.
// The views that have changed are returned, and shown to all others, once they
// are on the disk.
func (p *Projection) Update(change func(*Tx) error) ([]*BoxView, error) {
	t, err := p.update(change)
	if errors.Is(err, ErrDamaged) {
		err = errors.Join(err, os.WriteFile(p.db.Path()+condemned, nil, 0o600))
	}
	if err != nil {
		return nil, fmt.Errorf("write the projection: %w", err)
	}
	changed := make([]*BoxView, 0, len(t.boxes))
	for _, b := range t.sorted() {
		changed = append(changed, b.view())
	}
	p.note(t)
	p.publish(changed)
	return changed, nil
}

func (p *Projection) update(change func(*Tx) error) (t *Tx, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrDamaged, fault, debug.Stack())
		}
	}()
	err = p.db.Update(func(tx *bbolt.Tx) error {
		t = begin(tx)
		if err := change(t); err != nil {
			return err
		}
		return t.finish()
	})
	return t, err
}

// publish shows new views and tells the feeds.
func (p *Projection) publish(changed []*BoxView) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range changed {
		if _, known := p.views[v.ID]; !known {
			p.order = nil
		}
		p.views[v.ID] = v
	}
	for f := range p.feeds {
		f.tell(changed)
	}
}

// Overview returns all boxes by id. They do not change any more; the caller may
// keep them.
func (p *Projection) Overview() []*BoxView {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.order == nil {
		p.order = slices.SortedFunc(maps.Values(p.views), func(a, b *BoxView) int { return compareIDs(a.ID, b.ID) })
	}
	all := make([]*BoxView, len(p.order))
	for i, v := range p.order {
		all[i] = p.views[v.ID]
	}
	return all
}

// Box returns a box, nil when it has never been heard of.
func (p *Projection) Box(id wire.BoxID) *BoxView {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.views[id]
}

// Site returns the boxes of a site by id.
func (p *Projection) Site(tenant, site string) []*BoxView {
	return slices.DeleteFunc(p.Overview(), func(v *BoxView) bool { return v.ID.Tenant != tenant || v.ID.Site != site })
}

func compareIDs(a, b wire.BoxID) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Box, b.Box))
}

// Written is how many bytes went to the disk since the file was opened.
func (p *Projection) Written() uint64 {
	s := p.db.Stats()
	return uint64(s.TxStats.GetPageAlloc())
}
