package upstream

import (
	"sync"
	"time"

	"signalbox/sync/wire"
)

// observed keeps what was measured between two frames. It is written from the
// path of every client and must cost next to nothing there.
type observed struct {
	mu      sync.Mutex
	values  map[wire.MetricID][]observation
	devices map[uint64]int64 // keyed hash of a device: Unix milliseconds
	open    bool             // somebody will take them
}

type observation struct {
	atMs  int64
	value float32
}

// Bounds between two frames. More samples would not make the quantiles of an
// hour more exact than their sketch is.
const (
	maxObservations = 2048
	maxDevices      = 1 << 16
)

func (o *observed) add(id wire.MetricID, at time.Time, value float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open || len(o.values[id]) >= maxObservations {
		return
	}
	if o.values == nil {
		o.values = map[wire.MetricID][]observation{}
	}
	o.values[id] = append(o.values[id], observation{at.UnixMilli(), float32(value)})
}

func (o *observed) see(hash uint64, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open || len(o.devices) >= maxDevices {
		return
	}
	if o.devices == nil {
		o.devices = map[uint64]int64{}
	}
	o.devices[hash] = at.UnixMilli()
}

// back takes what could not be kept, as if it had come before what has come
// since.
func (o *observed) back(values map[wire.MetricID][]observation, devices map[uint64]int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.open {
		return
	}
	since, seen := o.values, o.devices
	o.values, o.devices = values, devices
	for id, list := range since {
		if o.values == nil {
			o.values = map[wire.MetricID][]observation{}
		}
		all := append(o.values[id], list...)
		o.values[id] = all[:min(len(all), maxObservations)]
	}
	for hash, atMs := range seen {
		if o.devices == nil {
			o.devices = map[uint64]int64{}
		}
		if _, known := o.devices[hash]; known || len(o.devices) < maxDevices {
			o.devices[hash] = atMs
		}
	}
}

// begin has it keep what comes from now on; end forgets all.
func (o *observed) begin() { o.set(true) }
func (o *observed) end()   { o.set(false) }

func (o *observed) set(open bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.values, o.devices = open, nil, nil
}

// take hands over what there is.
func (o *observed) take() (values map[wire.MetricID][]observation, devices map[uint64]int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	values, devices, o.values, o.devices = o.values, o.devices, nil, nil
	return values, devices
}
