package upstream

import (
	"time"

	"signalbox/sync/wire"
)

// sampleLive is what a watcher sees: the parts of the box, not what takes the
// kernel time to find out.
func (m *member) sampleLive(now time.Time) wire.Live {
	s := m.cfg.Source.Sample()
	l := wire.Live{At: now.UTC(), Gauges: make(map[uint32]int64, len(s.Gauges)), Counts: make(map[uint32]uint64, len(s.Counters))}
	for id, v := range s.Gauges {
		l.Gauges[id] = v
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, n := range s.Counters {
		l.Counts[id] = m.bases[id] + n
	}
	return l
}
