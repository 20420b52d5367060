package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Bounds of the documents of talk.go.
const (
	maxCommands    = 64
	maxPolicyBytes = 64 << 10
	maxArgsBytes   = 4 << 10
	maxLiveMetrics = 256
	// MaxLiveS bounds for how long one nudge makes a box publish Live.
	MaxLiveS = 300
)

// parseTalk reads one document of at most MaxTalkBytes.
func parseTalk[T any](data []byte, check func(*T) error) (*T, error) {
	if len(data) > MaxTalkBytes {
		return nil, fmt.Errorf("%w: a document of %d bytes, want at most %d", ErrOversize, len(data), MaxTalkBytes)
	}
	doc := new(T)
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := check(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// ParseAsk reads an Ask.
func ParseAsk(data []byte) (*Ask, error) {
	return parseTalk(data, func(a *Ask) error {
		switch {
		case !textOK(a.Version, maxTextBytes):
			return fmt.Errorf("%w: version %.80q", ErrMalformed, a.Version)
		case a.Incarnation == 0:
			return fmt.Errorf("%w: an ask without incarnation", ErrMalformed)
		case a.Oldest > MaxSeq || a.Newest > MaxSeq:
			return fmt.Errorf("%w: it holds %d to %d", ErrSequence, a.Oldest, a.Newest)
		case !a.Now.IsZero() && !wallOK(a.Now.UnixMilli()):
			return fmt.Errorf("%w: its clock shows %v", ErrTime, a.Now)
		}
		return nil
	})
}

// ParseStanding reads a Standing.
func ParseStanding(data []byte) (*Standing, error) {
	return parseTalk(data, func(s *Standing) error {
		switch {
		case s.Applied > MaxSeq || s.Newest > MaxSeq:
			return fmt.Errorf("%w: applied is %d, the newest %d", ErrSequence, s.Applied, s.Newest)
		case s.Now.IsZero() || !wallOK(s.Now.UnixMilli()):
			return fmt.Errorf("%w: the cloud's clock shows %v", ErrTime, s.Now)
		case len(s.Commands) > maxCommands:
			return fmt.Errorf("%w: %d commands, want at most %d", ErrLimit, len(s.Commands), maxCommands)
		case s.Live > MaxLiveS:
			return fmt.Errorf("%w: live for %d s, want at most %d", ErrLimit, s.Live, MaxLiveS)
		}
		for _, c := range s.Commands {
			if err := c.check(); err != nil {
				return err
			}
		}
		if s.Policy != nil {
			return s.Policy.check()
		}
		return nil
	})
}

// ParseNudge reads a Nudge.
func ParseNudge(data []byte) (*Nudge, error) {
	return parseTalk(data, func(n *Nudge) error {
		if n.Applied > MaxSeq || n.Resync > MaxSeq {
			return fmt.Errorf("%w: applied is %d, resync from %d", ErrSequence, n.Applied, n.Resync)
		}
		if n.Live > MaxLiveS {
			return fmt.Errorf("%w: live for %d s, want at most %d", ErrLimit, n.Live, MaxLiveS)
		}
		return nil
	})
}

// ParsePolicy reads a Policy. Its documents are read by ParsePolicyDoc.
func ParsePolicy(data []byte) (*Policy, error) {
	return parseTalk(data, (*Policy).check)
}

func (p *Policy) check() error {
	if len(p.Site) > maxPolicyBytes || len(p.Box) > maxPolicyBytes {
		return fmt.Errorf("%w: a policy of %d and %d bytes, want at most %d each", ErrOversize, len(p.Site), len(p.Box), maxPolicyBytes)
	}
	return nil
}

// ParsePolicyDoc reads a PolicyDoc strictly: a key that is not known makes the
// whole of it void, because what it was to achieve would not happen. An empty
// document is one that says nothing.
func ParsePolicyDoc(data []byte) (*PolicyDoc, PolicyFault, error) {
	doc := new(PolicyDoc)
	if len(data) == 0 || string(data) == "null" {
		return doc, PolicyFaultNone, nil
	}
	if len(data) > maxPolicyBytes {
		return nil, PolicyFaultForm, fmt.Errorf("%w: a policy of %d bytes, want at most %d", ErrOversize, len(data), maxPolicyBytes)
	}
	var loose PolicyDoc
	if err := json.Unmarshal(data, &loose); err != nil {
		return nil, PolicyFaultForm, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if err := strict.Decode(doc); err != nil {
		return nil, PolicyFaultUnknown, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := doc.check(); err != nil {
		return nil, PolicyFaultValue, err
	}
	return doc, PolicyFaultNone, nil
}

func (p *PolicyDoc) check() error {
	if p.Level != "" {
		if _, err := ParsePrivacy(p.Level); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	if p.LogLevel != "" && !slices.Contains([]string{"debug", "info", "warn", "error"}, p.LogLevel) {
		return fmt.Errorf("%w: log_level: got %.40q, want debug, info, warn or error", ErrMalformed, p.LogLevel)
	}
	if p.FrameEvery != 0 && (p.FrameEvery < 60 || p.FrameEvery > 300) {
		return fmt.Errorf("%w: frame_every: got %d, want 60 to 300", ErrLimit, p.FrameEvery)
	}
	if p.UplinkBps != 0 && p.UplinkBps < minUplinkBps {
		return fmt.Errorf("%w: uplink_bps: got %d, want at least %d", ErrLimit, p.UplinkBps, minUplinkBps)
	}
	return nil
}

// minUplinkBps is what a box needs to send a frame a minute and to catch up.
const minUplinkBps = 8000

// ParseCommand reads a Command.
func ParseCommand(data []byte) (*Command, error) {
	return parseTalk(data, (*Command).check)
}

// check does not look at the name: a box tells that it does not know a command.
func (c *Command) check() error {
	switch {
	case !commandID.MatchString(c.ID):
		return fmt.Errorf(`%w: command id: got %.80q, want 1 to 64 letters, digits, "-" and "_"`, ErrMalformed, c.ID)
	case !textOK(c.Name, maxIDBytes) || c.Name == "":
		return fmt.Errorf("%w: command %.80q", ErrMalformed, c.Name)
	case len(c.Args) > maxArgsBytes:
		return fmt.Errorf("%w: arguments of %d bytes, want at most %d", ErrOversize, len(c.Args), maxArgsBytes)
	case c.Expires.IsZero() || !wallOK(c.Expires.UnixMilli()):
		return fmt.Errorf("%w: it expires at %v", ErrTime, c.Expires)
	}
	return nil
}

// ParseLive reads a Live.
func ParseLive(data []byte) (*Live, error) {
	return parseTalk(data, func(l *Live) error {
		if len(l.Gauges) > maxLiveMetrics || len(l.Counts) > maxLiveMetrics {
			return fmt.Errorf("%w: %d gauges and %d counts, want at most %d each", ErrLimit, len(l.Gauges), len(l.Counts), maxLiveMetrics)
		}
		if !wallOK(l.At.UnixMilli()) {
			return fmt.Errorf("%w: it is of %v", ErrTime, l.At)
		}
		return nil
	})
}
