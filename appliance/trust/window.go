package trust

import "time"

const (
	day      = 24 * time.Hour
	leafLife = 90 * day
	backDate = day // for devices whose clock is behind the box's
	// longLife is for a box whose own clock is behind. With the back-dating it
	// stays below the 825 days that Apple accepts under a root a user installed.
	longLife = 823 * day
)

// window is the time a leaf is valid for.
type window struct {
	from, until time.Time
	sure        bool // the clock showed no less than is known to have passed
}

// windowAt decides how long a leaf made now is valid. Devices judge it by their
// own clocks, so the box's may be wrong without anybody losing the box:
//
//   - A clock behind a moment that is known to have passed, as after a power cut
//     without a battery, gets a long leaf: from the clock's time where that could
//     be right, and long enough to hold at the known time and 90 days after it.
//   - A clock before epoch cannot be right, and the leaf starts at epoch, or at
//     the known moment when the leaf would not reach it.
//   - A clock that was ahead and went back is believed again; see stale.
//   - Beyond the root's own life the leaf keeps to the root's last days.
func (r *root) windowAt(now, known time.Time) window {
	w := window{from: now.Add(-backDate), until: now.Add(leafLife), sure: !now.Before(known)}
	if !w.sure {
		start := now
		if now.Before(epoch) {
			start = epoch
			if known.Sub(start) > longLife-leafLife {
				start = known
			}
		}
		w.from, w.until = start.Add(-backDate), start.Add(longLife)
	}
	if w.from.Before(r.cert.NotBefore) {
		w.from = r.cert.NotBefore
	}
	if w.until.After(r.cert.NotAfter) {
		w.until = r.cert.NotAfter
	}
	if !w.from.Before(w.until) {
		w.from = w.until.Add(-leafLife)
	}
	return w
}

// stale reports, in words for the log, why a leaf for w should be replaced by
// one for want; "" when it should not. Two thirds of a life is when to renew,
// unless the root's end leaves nothing to gain.
func (w window) stale(want window) string {
	life := w.until.Sub(w.from) - backDate
	switch {
	case w.sure != want.sure:
		return "the clock was set"
	case want.from.Before(w.from.Add(-backDate)):
		return "the clock went back"
	case want.from.Sub(w.from) >= life/3*2 && want.until.After(w.until):
		return "two thirds of its life are over"
	}
	return ""
}

// known is the latest moment that has certainly passed.
func (a *Authority) known() time.Time {
	known := epoch
	if made := a.root.made(); made.After(known) {
		known = made
	}
	if a.cfg.Known != nil {
		if k := a.cfg.Known(); k.After(known) {
			known = k
		}
	}
	return known
}
