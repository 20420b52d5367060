package wire

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Span is what a frame is about: from Start to End by the wall clock. Mono is
// when it ended since the boot named Boot.
type Span struct {
	Start, End time.Time
	Boot       uint32
	Mono       time.Duration
}

// Draft is a frame in the making. It is an allow-list: each method takes facts
// and lets pass what the level allows, and there is no other way to make what is
// sent. Not for concurrent use.
type Draft struct {
	veil  *Veil
	frame *Frame
	errs  []error
}

// Draft begins a frame.
func (v *Veil) Draft(span Span) *Draft {
	end := wallMs(span.End)
	return &Draft{veil: v, frame: &Frame{
		StartMs: min(wallMs(span.Start), end),
		EndMs:   end,
		Boot:    span.Boot,
		MonoMs:  uint64(min(max(span.Mono.Milliseconds(), 0), maxMonoMs)),
	}}
}

func wallMs(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return min(max(t.UnixMilli(), 0), maxWallMs)
}

// Counter tells a total since the incarnation began.
func (d *Draft) Counter(id MetricID, total uint64) {
	if d.want(id, Counter) && total > 0 {
		d.frame.CounterIds = append(d.frame.CounterIds, id)
		d.frame.CounterValues = append(d.frame.CounterValues, total)
	}
}

// Gauge tells a value now, and its extremes within the span.
func (d *Draft) Gauge(id MetricID, last, low, high int64) {
	if !d.want(id, Level) {
		return
	}
	last = min(max(last, -maxValue/2), maxValue/2)
	low, high = max(min(low, last), -maxValue/2), min(max(high, last), maxValue/2)
	d.frame.Gauges = append(d.frame.Gauges, &Gauge{Id: id, Last: last, Below: last - low, Above: high - last})
}

// Distribution tells a distribution of the hour that began at start, as far as
// it has come.
func (d *Draft) Distribution(id MetricID, start time.Time, s *DistributionSketch) {
	if d.want(id, Distribution) {
		d.sketch(id, start, s.Encode())
	}
}

// Set tells a set of the hour that began at start, as far as it has come.
func (d *Draft) Set(id MetricID, start time.Time, s *SetSketch) {
	if d.want(id, Set) {
		d.sketch(id, start, s.Encode())
	}
}

func (d *Draft) sketch(id MetricID, start time.Time, data []byte) {
	ms := wallMs(start) / (HourS * 1000) * (HourS * 1000)
	d.frame.Sketches = append(d.frame.Sketches, &Sketch{Id: id, StartMs: ms, SpanS: HourS, Data: data})
}

// Alert tells that a condition began, or ended, at a time.
func (d *Draft) Alert(kind AlertKind, raised bool, at time.Time, value int64) {
	if _, ok := AlertKinds[kind]; !ok {
		d.errs = append(d.errs, fmt.Errorf("alert %.40q is not one of AlertKinds", kind))
		return
	}
	d.frame.Alerts = append(d.frame.Alerts, &Alert{Kind: string(kind), Raised: raised, AtMs: wallMs(at), Value: value})
}

// Result tells how a command of the cloud ended.
func (d *Draft) Result(command string, outcome Outcome, at time.Time) {
	if !commandID.MatchString(command) || !slices.Contains(Outcomes, outcome) {
		d.errs = append(d.errs, fmt.Errorf("result %.40q of command %.40q is not allowed", outcome, command))
		return
	}
	d.frame.Results = append(d.frame.Results, &Result{Id: command, Ok: outcome == OutcomeDone, Text: string(outcome), AtMs: wallMs(at)})
}

// BoxFacts is what rarely changes. Zero times are unknown ones.
type BoxFacts struct {
	Version     string // as "v1.2.3-4-gabcdef"
	Arch        string // GOOS/GOARCH
	Started     time.Time
	Policy      uint64 // the revision in force
	PolicyFault PolicyFault
	CertEnd     time.Time
	Backup      time.Time
	Name        string // sent at level Named alone
	Link        string // websocket or post
}

var (
	versionForm = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$`)
	archForm    = regexp.MustCompile(`^[a-z0-9]{2,12}/[a-z0-9]{2,12}$`)
	commandID   = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$`)
)

// Box tells the facts about the box. A text that is not of the form it should
// have is left out: it may be anything.
func (d *Draft) Box(facts BoxFacts) {
	b := &Box{
		StartedMs: wallMs(facts.Started),
		Policy:    facts.Policy,
		Level:     string(d.veil.level),
		CertEndMs: wallMs(facts.CertEnd),
		BackupMs:  wallMs(facts.Backup),
	}
	if versionForm.MatchString(facts.Version) {
		b.Version = facts.Version
	}
	if archForm.MatchString(facts.Arch) {
		b.Arch = facts.Arch
	}
	if slices.Contains(PolicyFaults, facts.PolicyFault) {
		b.PolicyFault = string(facts.PolicyFault)
	}
	if facts.Link == "websocket" || facts.Link == "post" {
		b.Link = facts.Link
	}
	if d.veil.level == Named {
		b.Name = clean(facts.Name, maxTextBytes)
	}
	d.frame.Box = b
}

func (d *Draft) want(id MetricID, kind Kind) bool {
	if KindOf(id) == kind {
		return true
	}
	d.errs = append(d.errs, fmt.Errorf("metric %d is not a %s of wire.Metrics", id, kind))
	return false
}

// Finish returns the frame, without its sequence numbers, or what was not
// allowed in it: a mistake of the program.
func (d *Draft) Finish() (*Frame, error) {
	f := d.frame
	sortCounters(f)
	slices.SortFunc(f.Gauges, func(a, b *Gauge) int { return cmp.Compare(a.GetId(), b.GetId()) })
	slices.SortFunc(f.Sketches, compareSketches)
	Bound(f)
	if err := errors.Join(d.errs...); err != nil {
		return nil, err
	}
	return f, checkFrame(f)
}

func sortCounters(f *Frame) {
	if slices.IsSorted(f.CounterIds) {
		return
	}
	values := make(map[uint32]uint64, len(f.CounterIds))
	for i, id := range f.CounterIds {
		values[id] = f.CounterValues[i]
	}
	slices.Sort(f.CounterIds)
	for i, id := range f.CounterIds {
		f.CounterValues[i] = values[id]
	}
}
