package projection

import "time"

// The strip is the last 24 hours in cells of five minutes.
const stripCells = int(24 * time.Hour / PointEvery)

// Cell is one cell of the strip.
type Cell uint8

// What a cell says: the worst state that the box itself was in, and whether
// that was told later, after an outage of the link.
const (
	CellUnknown Cell = 0 // nothing was told of it: the box or its link was down
	CellGood    Cell = 1
	CellWarn    Cell = 2
	CellBad     Cell = 3
	CellLate    Cell = 0x80
)

// State is the cell without CellLate.
func (c Cell) State() Cell { return c &^ CellLate }

// strip is a ring: the cell of time t is at t / PointEvery mod stripCells.
type strip struct {
	head  int64 // number of the newest cell since 1970
	cells [stripCells]Cell
}

// fill marks the cells between two times; one of a minute that of its end.
func (s *strip) fill(startMs, endMs int64, state Cell, late bool) {
	last := (endMs - 1) / pointMs
	first := last
	if endMs-startMs > pointMs {
		first = startMs / pointMs
	}
	for s.head < last {
		s.head = max(s.head+1, last-int64(stripCells)+1)
		s.cells[s.head%int64(stripCells)] = CellUnknown
	}
	for p := max(first, s.head-int64(stripCells)+1); p <= last; p++ {
		c := &s.cells[p%int64(stripCells)]
		told := *c & CellLate
		if late {
			told = CellLate
		}
		*c = max(c.State(), state) | told
	}
}

// until returns the cells of the 24 hours that end with now, the oldest first.
func (s *strip) until(now time.Time) []Cell {
	out := make([]Cell, stripCells)
	end := now.UnixMilli() / pointMs
	for i := range out {
		p := end - int64(stripCells) + 1 + int64(i)
		if p <= s.head && p > s.head-int64(stripCells) && p >= 0 {
			out[i] = s.cells[p%int64(stripCells)]
		}
	}
	return out
}

// encode writes runs of equal cells: most boxes are well for long.
func (s *strip) encode(e *encoder) {
	e.int(s.head)
	for i := 0; i < stripCells; {
		n := 1
		for i+n < stripCells && s.cells[i+n] == s.cells[i] {
			n++
		}
		e.uint(uint64(n))
		e.b = append(e.b, byte(s.cells[i]))
		i += n
	}
}

func (s *strip) decode(d *decoder) {
	s.head = d.int()
	for i := 0; i < stripCells; {
		n := d.uint()
		c := d.take(1)
		if c == nil || n == 0 || n > uint64(stripCells-i) {
			d.fail()
			return
		}
		for range n {
			s.cells[i] = Cell(c[0])
			i++
		}
	}
}
