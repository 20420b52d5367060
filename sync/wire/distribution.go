package wire

import (
	"fmt"
	"math"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/encoding"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// A DDSketch with a relative accuracy of 1 % keeps a count for each step of 2 %.
// From shortest to longest are 1,021 steps, so that none is ever collapsed: what
// is merged in any order has the same bytes.
const (
	accuracy = 0.01
	maxBins  = 1024
	shortest = 0.01    // below it a value counts as 0
	longest  = 7.2e6   // above it as longest: two hours in milliseconds
	maxIndex = 2048    // of a step, either way
	maxCount = 1 << 40 // of all values: sums of thousands stay exact
)

// DistributionSketch tells quantiles of the values added to it within 1 %.
// Values are not negative; in milliseconds it reaches from 10 µs to two hours.
// Not for concurrent use.
type DistributionSketch struct{ sketch *ddsketch.DDSketch }

// steps is the mapping from values to steps, the same at both ends.
var steps = func() mapping.IndexMapping {
	m, err := mapping.NewLogarithmicMapping(accuracy)
	if err != nil {
		panic(err) // the accuracy above is a constant
	}
	return m
}()

// NewDistribution returns an empty one.
func NewDistribution() *DistributionSketch {
	return &DistributionSketch{ddsketch.NewDDSketch(steps,
		store.NewCollapsingLowestDenseStore(maxBins), store.NewCollapsingLowestDenseStore(maxBins))}
}

// Add counts one value. What is no number is not counted.
func (d *DistributionSketch) Add(value float64) {
	switch {
	case math.IsNaN(value):
		return
	case value < shortest:
		value = 0
	}
	// Values within these bounds are all trackable, so there is no error.
	_ = d.sketch.Add(min(value, longest))
}

// Merge counts what other has counted too.
func (d *DistributionSketch) Merge(other *DistributionSketch) {
	_ = d.sketch.MergeWith(other.sketch) // the mappings are the same
}

// Count is how many values were added.
func (d *DistributionSketch) Count() uint64 { return uint64(d.sketch.GetCount()) }

// Quantile returns the value below which the share q of all lies; q from 0 to 1.
// It is 0 when nothing was added.
func (d *DistributionSketch) Quantile(q float64) float64 {
	v, err := d.sketch.GetValueAtQuantile(min(max(q, 0), 1))
	if err != nil {
		return 0
	}
	return v
}

// Copy returns an independent copy.
func (d *DistributionSketch) Copy() *DistributionSketch {
	return &DistributionSketch{d.sketch.Copy()}
}

// Encode returns the bytes for a Sketch: DDSketch's own encoding without the
// mapping. Sketches of equal counts have equal bytes.
func (d *DistributionSketch) Encode() []byte {
	var b []byte
	d.sketch.Encode(&b, true)
	return b
}

// ParseDistribution reads what Encode wrote. The library's own decoder ignores
// errors and trusts counts and steps, so the bytes are read here.
func ParseDistribution(data []byte) (*DistributionSketch, error) {
	if len(data) > MaxSketchBytes {
		return nil, fmt.Errorf("%w: a distribution of %d bytes, want at most %d", ErrOversize, len(data), MaxSketchBytes)
	}
	d := NewDistribution()
	for len(data) > 0 {
		flag, err := encoding.DecodeFlag(&data)
		if err != nil {
			return nil, malformedSketch(err)
		}
		switch {
		case flag == encoding.FlagZeroCountVarFloat:
			var n float64
			if n, err = decodeCount(&data); err == nil && n > 0 {
				err = d.sketch.AddWithCount(0, n)
			}
		case flag.Type() == encoding.FlagTypePositiveStore:
			err = decodeBins(d.sketch.GetPositiveValueStore(), &data, flag.SubFlag())
		default:
			err = fmt.Errorf("a flag that is not used here")
		}
		if err != nil {
			return nil, malformedSketch(err)
		}
		// A store may come more than once, and its counts add up.
		if n := d.sketch.GetCount(); n > maxCount {
			return nil, malformedSketch(fmt.Errorf("%v values", n))
		}
	}
	return d, nil
}

func malformedSketch(err error) error { return fmt.Errorf("%w: sketch: %w", ErrMalformed, err) }

// decodeBins reads the counts of a store, in the two forms that are written.
func decodeBins(into store.Store, data *[]byte, mode encoding.SubFlag) error {
	n, err := encoding.DecodeUvarint64(data)
	if err != nil {
		return err
	}
	if n > maxBins {
		return fmt.Errorf("%d steps, want at most %d", n, maxBins)
	}
	var index, step int64
	switch mode {
	case encoding.BinEncodingContiguousCounts:
		if index, err = encoding.DecodeVarint64(data); err != nil {
			return err
		}
		if step, err = encoding.DecodeVarint64(data); err != nil {
			return err
		}
	case encoding.BinEncodingIndexDeltasAndCounts:
	default:
		return fmt.Errorf("counts in a form that is not used here")
	}
	for range n {
		if mode == encoding.BinEncodingIndexDeltasAndCounts {
			if step, err = encoding.DecodeVarint64(data); err != nil {
				return err
			}
			index += step
		}
		count, err := decodeCount(data)
		if err != nil {
			return err
		}
		if index < -maxIndex || index > maxIndex || step < -2*maxIndex || step > 2*maxIndex {
			return fmt.Errorf("step %d, want within %d", index, maxIndex)
		}
		into.AddWithCount(int(index), count)
		if mode == encoding.BinEncodingContiguousCounts {
			index += step
		}
	}
	return nil
}

// decodeCount reads a count: a whole number, since only then sums do not depend
// on their order.
func decodeCount(data *[]byte) (float64, error) {
	n, err := encoding.DecodeVarfloat64(data)
	if err != nil {
		return 0, err
	}
	if !(n >= 0 && n <= maxCount) || n != math.Trunc(n) {
		return 0, fmt.Errorf("a count of %v", n)
	}
	return n, nil
}
