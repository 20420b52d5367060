package upstream

import "time"

// trend is a value over the last half hour, in points a minute apart.
type trend struct {
	at    []time.Time
	value []float64
}

const (
	trendFor   = 30 * time.Minute
	trendLeast = 10 * time.Minute // less says nothing
	pointEvery = time.Minute
)

// add takes a value; at most one a minute is kept.
func (t *trend) add(now time.Time, value float64) {
	if n := len(t.at); n > 0 && now.Sub(t.at[n-1]) < pointEvery-time.Second {
		return
	}
	t.at, t.value = append(t.at, now), append(t.value, value)
	for len(t.at) > 1 && now.Sub(t.at[0]) > trendFor {
		t.at, t.value = t.at[1:], t.value[1:]
	}
}

// reaches is how long after the last point the straight line through all of them
// (least squares) reaches a limit; ok is false when it does not.
func (t *trend) reaches(limit float64) (left time.Duration, ok bool) {
	n := len(t.at)
	if n < 3 || t.at[n-1].Sub(t.at[0]) < trendLeast {
		return 0, false
	}
	var sx, sy, sxx, sxy float64
	last := t.at[n-1]
	for i := range t.at {
		x, y := t.at[i].Sub(last).Seconds(), t.value[i]
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	spread := float64(n)*sxx - sx*sx
	if spread == 0 {
		return 0, false
	}
	slope := (float64(n)*sxy - sx*sy) / spread
	now := (sy - slope*sx) / float64(n)
	if slope == 0 || (limit-now)/slope < 0 || (limit-now)/slope > 1e9 {
		return 0, false
	}
	return time.Duration((limit - now) / slope * float64(time.Second)), true
}
