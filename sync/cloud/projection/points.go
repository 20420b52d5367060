package projection

import (
	"math/bits"
	"time"

	"signalbox/sync/wire"
)

// PointEvery is the length of a point of a chart.
const PointEvery = 5 * time.Minute

const (
	pointMs     = int64(PointEvery / time.Millisecond)
	hourPoints  = int(time.Hour / PointEvery)
	seriesCount = 9
)

// series are the metrics that charts of the last two days show. Of each a point
// keeps the peak, of free disk the lowest.
var series = [seriesCount]wire.MetricID{
	wire.SessionsOnline, wire.RoomsOpen, wire.RoomsMembers, wire.RelayAllocations, wire.RelayBits,
	wire.UpstreamQueueFrames, wire.BoxCPUPermille, wire.BoxRSSBytes, wire.BoxDiskFreeBytes,
}

// cell is one point; bit i of has says that the value of series i is known.
type cell struct {
	has    uint16
	values [seriesCount]int64
}

// chunk is the points of one hour.
type chunk struct{ cells [hourPoints]cell }

func (c *chunk) empty() bool {
	for i := range c.cells {
		if c.cells[i].has != 0 {
			return false
		}
	}
	return true
}

func (c *cell) merge(other *cell) {
	for i := range series {
		if other.has&(1<<i) == 0 {
			continue
		}
		v := other.values[i]
		switch {
		case c.has&(1<<i) == 0:
			c.values[i] = v
		case series[i] == wire.BoxDiskFreeBytes:
			c.values[i] = min(c.values[i], v)
		default:
			c.values[i] = max(c.values[i], v)
		}
		c.has |= 1 << i
	}
}

// cellOf picks the series out of a frame's gauges.
func cellOf(gauges []Gauge) (c cell) {
	for i, id := range series {
		if g, ok := GaugeOf(gauges, id); ok {
			c.has |= 1 << i
			c.values[i] = g.High
			if id == wire.BoxDiskFreeBytes {
				c.values[i] = g.Low
			}
		}
	}
	return c
}

// plot puts a frame into the points that it spans; one of a minute into that in
// which it ended.
func (b *box) plot(gauges []Gauge, startMs, endMs int64) error {
	c := cellOf(gauges)
	oldest := hourOf(b.tx.nowMs) - int64(KeepPoints/time.Hour)
	last := (endMs - 1) / pointMs
	first := last
	if endMs-startMs > pointMs {
		first = max(startMs/pointMs, oldest*int64(hourPoints), last-int64(KeepPoints/PointEvery))
	}
	if c.has == 0 || last < oldest*int64(hourPoints) {
		return nil
	}
	for p := first; p <= last; p++ {
		o, err := b.hour(p / int64(hourPoints))
		if err != nil {
			return err
		}
		o.points.cells[p%int64(hourPoints)].merge(&c)
	}
	return nil
}

func (c *chunk) encode(e *encoder) {
	var filled uint64
	for i := range c.cells {
		if c.cells[i].has != 0 {
			filled |= 1 << i
		}
	}
	e.uint(filled)
	for i := range c.cells {
		if p := &c.cells[i]; p.has != 0 {
			e.uint(uint64(p.has))
			for has := p.has; has != 0; has &= has - 1 {
				e.int(p.values[bits.TrailingZeros16(has)])
			}
		}
	}
}

func (c *chunk) decode(d *decoder) {
	filled := d.uint()
	for i := range c.cells {
		if filled&(1<<i) == 0 {
			continue
		}
		p := &c.cells[i]
		p.has = uint16(d.uint())
		if p.has >= 1<<seriesCount {
			d.fail()
			return
		}
		for has := p.has; has != 0; has &= has - 1 {
			p.values[bits.TrailingZeros16(has)] = d.int()
		}
	}
}
