package wire

import (
	"fmt"
	"unicode/utf8"
)

// Times that a clock can show: the years 1970 to 9999, and a boot that lasts
// less than a hundred years.
const (
	maxWallMs = 253402300799999
	maxMonoMs = 100 * 366 * 86400 * 1000
	maxValue  = 1 << 62 // of a gauge, so that differences do not overflow
)

// checkBody tells whether a body keeps to the format. What it lets pass may
// still be untrue, but no reader needs to look for sizes, order or overflow.
func checkBody(b *Body) error {
	switch n := len(b.GetFrames()); {
	case n == 0:
		return fmt.Errorf("%w: a batch without frames", ErrMalformed)
	case n > MaxBatchFrames:
		return fmt.Errorf("%w: %d frames, want at most %d", ErrLimit, n, MaxBatchFrames)
	case b.GetIncarnation() == 0:
		return fmt.Errorf("%w: a batch without incarnation", ErrMalformed)
	case !wallOK(b.GetSentMs()) || b.GetMonoMs() > maxMonoMs:
		return fmt.Errorf("%w: sent at %d ms, %d ms after boot", ErrTime, b.GetSentMs(), b.GetMonoMs())
	case b.GetOldest() > MaxSeq:
		return fmt.Errorf("%w: oldest is %d", ErrSequence, b.GetOldest())
	}
	last := uint64(0)
	for i, f := range b.GetFrames() {
		if f.GetFirst() <= last || f.GetLast() < f.GetFirst() || f.GetLast() > MaxSeq {
			return fmt.Errorf("%w: frame %d is %d to %d, after %d", ErrSequence, i, f.GetFirst(), f.GetLast(), last)
		}
		last = f.GetLast()
		if err := checkFrame(f); err != nil {
			return fmt.Errorf("frame %d: %w", last, err)
		}
		if f.GetBoot() == b.GetBoot() && f.GetMonoMs() > b.GetMonoMs() {
			return fmt.Errorf("%w: frame %d is of %d ms after boot, sent %d ms after it", ErrTime, last, f.GetMonoMs(), b.GetMonoMs())
		}
	}
	return nil
}

func wallOK(ms int64) bool { return ms >= 0 && ms <= maxWallMs }

func checkFrame(f *Frame) error {
	if !wallOK(f.GetStartMs()) || !wallOK(f.GetEndMs()) || f.GetStartMs() > f.GetEndMs() || f.GetMonoMs() > maxMonoMs {
		return fmt.Errorf("%w: from %d to %d ms, %d ms after boot", ErrTime, f.GetStartMs(), f.GetEndMs(), f.GetMonoMs())
	}
	for _, l := range []struct {
		what   string
		n, max int
	}{
		{"counters", len(f.GetCounterIds()), MaxCounters},
		{"gauges", len(f.GetGauges()), MaxGauges},
		{"sketches", len(f.GetSketches()), MaxSketches},
		{"rooms", len(f.GetRooms()), MaxRooms},
		{"alerts", len(f.GetAlerts()), MaxAlerts},
		{"results", len(f.GetResults()), MaxResults},
	} {
		if l.n > l.max {
			return fmt.Errorf("%w: %d %s, want at most %d", ErrLimit, l.n, l.what, l.max)
		}
	}
	return firstError(f, checkMetrics, checkSketches, checkRooms, checkEvents, checkBox)
}

func firstError(f *Frame, checks ...func(*Frame) error) error {
	for _, check := range checks {
		if err := check(f); err != nil {
			return err
		}
	}
	return nil
}

func checkMetrics(f *Frame) error {
	if len(f.GetCounterIds()) != len(f.GetCounterValues()) {
		return fmt.Errorf("%w: %d counters with %d values", ErrMalformed, len(f.GetCounterIds()), len(f.GetCounterValues()))
	}
	var before uint32
	for _, id := range f.GetCounterIds() {
		if id <= before {
			return fmt.Errorf("%w: counter %d after %d", ErrMalformed, id, before)
		}
		before = id
	}
	before = 0
	for _, g := range f.GetGauges() {
		switch {
		case g.GetId() <= before:
			return fmt.Errorf("%w: gauge %d after %d", ErrMalformed, g.GetId(), before)
		case g.GetBelow() < 0 || g.GetAbove() < 0 || g.GetBelow() > maxValue || g.GetAbove() > maxValue ||
			g.GetLast() < -maxValue || g.GetLast() > maxValue:
			return fmt.Errorf("%w: gauge %d is %d, %d below and %d above", ErrMalformed, g.GetId(), g.GetLast(), g.GetBelow(), g.GetAbove())
		}
		before = g.GetId()
	}
	return nil
}

// checkSketches does not read the data: of the sixty states of an hour only the
// last is ever read, and ParseDistribution and ParseSet check it then.
func checkSketches(f *Frame) error {
	var before *Sketch
	for _, s := range f.GetSketches() {
		switch span := int64(s.GetSpanS()) * 1000; {
		case span != HourS*1000 && span != DayS*1000, !wallOK(s.GetStartMs()), s.GetStartMs()%span != 0:
			return fmt.Errorf("%w: a sketch of %d s from %d ms", ErrTime, s.GetSpanS(), s.GetStartMs())
		case len(s.GetData()) > MaxSketchBytes:
			return fmt.Errorf("%w: a sketch of %d bytes, want at most %d", ErrOversize, len(s.GetData()), MaxSketchBytes)
		case before != nil && compareSketches(before, s) >= 0:
			return fmt.Errorf("%w: sketches of %d out of order", ErrMalformed, s.GetId())
		}
		before = s
	}
	return nil
}

func checkRooms(f *Frame) error {
	seen := make(map[string]struct{}, len(f.GetRooms()))
	for _, r := range f.GetRooms() {
		if _, twice := seen[r.GetId()]; twice || !textOK(r.GetId(), maxIDBytes) || r.GetId() == "" {
			return fmt.Errorf("%w: room %.80q", ErrMalformed, r.GetId())
		}
		if !wallOK(r.GetCreatedMs()) {
			return fmt.Errorf("%w: a room made at %d ms", ErrTime, r.GetCreatedMs())
		}
		seen[r.GetId()] = struct{}{}
	}
	return nil
}

func checkEvents(f *Frame) error {
	for _, a := range f.GetAlerts() {
		if !textOK(a.GetKind(), maxIDBytes) || a.GetKind() == "" {
			return fmt.Errorf("%w: alert %.80q", ErrMalformed, a.GetKind())
		}
		if !wallOK(a.GetAtMs()) {
			return fmt.Errorf("%w: an alert of %d ms", ErrTime, a.GetAtMs())
		}
	}
	for _, r := range f.GetResults() {
		if !textOK(r.GetId(), maxIDBytes) || r.GetId() == "" || !textOK(r.GetText(), maxTextBytes) {
			return fmt.Errorf("%w: result of %.80q", ErrMalformed, r.GetId())
		}
		if !wallOK(r.GetAtMs()) {
			return fmt.Errorf("%w: a result of %d ms", ErrTime, r.GetAtMs())
		}
	}
	return nil
}

func checkBox(f *Frame) error {
	b := f.GetBox()
	for _, text := range []string{b.GetVersion(), b.GetArch(), b.GetPolicyFault(), b.GetLevel(), b.GetName(), b.GetLink()} {
		if !textOK(text, maxTextBytes) {
			return fmt.Errorf("%w: %.80q about the box", ErrMalformed, text)
		}
	}
	for _, ms := range []int64{b.GetStartedMs(), b.GetCertEndMs(), b.GetBackupMs()} {
		if !wallOK(ms) {
			return fmt.Errorf("%w: %d ms about the box", ErrTime, ms)
		}
	}
	return nil
}

// textOK tells whether people can be shown text: no control characters.
func textOK(text string, limit int) bool {
	if len(text) > limit || !utf8.ValidString(text) {
		return false
	}
	for _, c := range text {
		if c < ' ' || c == 0x7F {
			return false
		}
	}
	return true
}
