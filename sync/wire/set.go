package wire

import (
	"fmt"

	"github.com/axiomhq/hyperloglog"
)

// precision gives 4,096 registers: 1.6 % standard error, 4.1 KB when dense.
const precision = 12

// SetSketch estimates how many different hashes were added to it. Not for
// concurrent use.
type SetSketch struct{ sketch *hyperloglog.Sketch }

// NewSet returns an empty one.
func NewSet() *SetSketch {
	s, err := hyperloglog.NewSketch(precision, true)
	if err != nil {
		panic(err) // the precision above is a constant
	}
	return &SetSketch{s}
}

// Add adds a hash of Veil.Hash: keyed, so that the sketch does not tell whether
// a known name is in it.
func (s *SetSketch) Add(hash uint64) { s.sketch.InsertHash(hash) }

// Merge adds all that was added to other.
func (s *SetSketch) Merge(other *SetSketch) {
	_ = s.sketch.Merge(other.sketch) // the precisions are the same
}

// Count estimates how many different hashes were added.
func (s *SetSketch) Count() uint64 { return s.sketch.Estimate() }

// Copy returns an independent copy.
func (s *SetSketch) Copy() *SetSketch { return &SetSketch{s.sketch.Clone()} }

// Encode returns the bytes for a Sketch. Sketches of equal sets have equal
// bytes, in whatever order they were added and merged.
func (s *SetSketch) Encode() []byte {
	// An estimate sorts the sparse form, and makes it dense when it is longer
	// than that would be: both depend on the set alone, because a part of a set
	// never takes more bytes than the whole.
	s.sketch.Estimate()
	data, err := s.sketch.MarshalBinary()
	if err != nil {
		panic(err) // only for a precision that NewSet does not give
	}
	return data
}

// ParseSet reads what Encode wrote.
func ParseSet(data []byte) (*SetSketch, error) {
	if len(data) > MaxSketchBytes {
		return nil, fmt.Errorf("%w: a set of %d bytes, want at most %d", ErrOversize, len(data), MaxSketchBytes)
	}
	var s hyperloglog.Sketch
	if err := s.UnmarshalBinary(data); err != nil {
		return nil, malformedSketch(err)
	}
	if data[1] != precision {
		return nil, malformedSketch(fmt.Errorf("a set of precision %d, want %d", data[1], precision))
	}
	return &SetSketch{&s}, nil
}
