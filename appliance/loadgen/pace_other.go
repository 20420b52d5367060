//go:build !linux

package loadgen

import "time"

// pacer tells how many messages are due.
type pacer struct {
	timer *time.Ticker
	rate  float64
	start time.Time
	told  int
}

func newPacer(rate float64) (*pacer, error) {
	tick := max(time.Duration(float64(time.Second)/rate), time.Millisecond)
	return &pacer{timer: time.NewTicker(tick), rate: rate, start: time.Now()}, nil
}

// wait blocks until messages are due, and says how many.
func (p *pacer) wait() (int, error) {
	<-p.timer.C
	n := int(time.Since(p.start).Seconds()*p.rate) - p.told
	p.told += n
	return n, nil
}

func (p *pacer) close() { p.timer.Stop() }
