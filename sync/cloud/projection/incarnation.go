package projection

import "slices"

// incarnation is one life of a box's outbox.
type incarnation struct {
	id       uint64
	seen     bool // in the stream UP; false when it is known from rolled up hours alone
	coverage coverage
	gapMs    int64  // stream time since when frames below others are missing; 0 for none
	newest   uint64 // highest sequence number seen
	newestMs int64  // when that frame ended
	counters []Count
}

// look updates gapMs after coverage has changed from a watermark of before.
func (i *incarnation) look(before uint64, nowMs int64) {
	switch {
	case len(i.coverage.above) == 0:
		i.gapMs = 0
	case i.gapMs == 0 || i.coverage.through != before:
		i.gapMs = nowMs
	}
}

func (i *incarnation) encode(e *encoder) {
	e.fixed(i.id)
	e.bool(i.seen)
	e.coverage(&i.coverage)
	e.int(i.gapMs)
	e.uint(i.newest)
	e.int(i.newestMs)
	e.counts(i.counters)
}

func (i *incarnation) decode(d *decoder) {
	i.id = d.fixed()
	i.seen = d.bool()
	i.coverage = d.coverage()
	i.gapMs = d.int()
	i.newest = d.uint()
	i.newestMs = d.int()
	i.counters = d.counts()
}

// life is an incarnation that is not the current one, as the box's record knows
// it: its own record is read when a frame of it comes.
type life struct {
	id     uint64
	usedMs int64 // stream time of its newest message
}

// incarnation returns the box's incarnation of that id, which a message has
// named, and nil for one whose counters are part of a sum already.
func (b *box) incarnation(id uint64, nowMs int64) (*incarnation, error) {
	if b.current.id == id {
		return &b.current, nil
	}
	inc, err := b.past(id)
	if err != nil || inc == nil && b.isFolded(id) {
		return nil, err
	}
	switch {
	case inc == nil:
		inc = &incarnation{id: id}
	case inc.seen:
		b.touch(id, nowMs)
		return inc, nil
	}
	// One that was not heard of before is the box's present: it has begun anew.
	inc.seen = true
	b.others = less(b.others, inc.counters)
	b.retire(nowMs)
	b.forget(id)
	b.current = *inc
	b.reset()
	return &b.current, nil
}

// retire makes the current incarnation a past one.
func (b *box) retire(nowMs int64) {
	if b.current.id == 0 {
		return
	}
	old := b.current
	b.others = Sum(b.others, old.counters)
	b.loaded[old.id] = &old
	b.touch(old.id, nowMs)
}

// reset drops what only the incarnation before knew: the new one tells of all
// its rooms and of every alert that holds.
func (b *box) reset() {
	b.gauges, b.info, b.infoSeq = nil, nil, 0
	b.alerts = nil
	b.rooms = &roomList{rooms: map[string]roomState{}, changed: true}
	b.roomsSeq, b.roomCount = 0, 0
}

// touch notes that a past incarnation was heard of, and folds the one that was
// silent for the longest time when there are too many.
func (b *box) touch(id uint64, nowMs int64) {
	for i := range b.lives {
		if b.lives[i].id == id {
			b.lives[i].usedMs = max(b.lives[i].usedMs, nowMs)
			return
		}
	}
	b.lives = append(b.lives, life{id, nowMs})
	if len(b.lives) < maxIncarnations {
		return
	}
	oldest := 0
	for i, l := range b.lives {
		if l.usedMs < b.lives[oldest].usedMs {
			oldest = i
		}
	}
	// Its counters stay in others.
	folded := b.lives[oldest].id
	b.forget(folded)
	b.folded = append(b.folded, folded)
	b.folded = b.folded[max(len(b.folded)-maxFolded, 0):]
}

// forget removes a past incarnation's own record.
func (b *box) forget(id uint64) {
	for i := range b.lives {
		if b.lives[i].id == id {
			b.lives = append(b.lives[:i], b.lives[i+1:]...)
			break
		}
	}
	b.loaded[id] = nil
}

func (b *box) isFolded(id uint64) bool { return slices.Contains(b.folded, id) }
