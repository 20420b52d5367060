package upstream

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rate is bits per second; 0 is no limit. It is written with a unit,
// "256kbit/s", in configuration.
type Rate int64

const (
	minRate Rate = 8e3
	maxRate Rate = 1e12
)

const wantRate = `a rate from 8kbit/s to 1000Gbit/s such as "256kbit/s" or "2Mbit/s", or 0 for no limit`

var rateUnits = []struct {
	name string
	bits Rate
}{{"Gbit/s", 1e9}, {"Mbit/s", 1e6}, {"kbit/s", 1e3}, {"bit/s", 1}}

// UnmarshalText reads a number with a unit, or 0.
func (r *Rate) UnmarshalText(text []byte) error {
	if s := strings.TrimSpace(string(text)); s == "0" {
		*r = 0
		return nil
	}
	for _, unit := range rateUnits {
		at := len(text) - len(unit.name)
		if at <= 0 || !strings.EqualFold(string(text[at:]), unit.name) {
			continue
		}
		number, err := strconv.ParseFloat(strings.TrimSpace(string(text[:at])), 64)
		got := math.Round(number * float64(unit.bits))
		if err != nil || !(got == 0 || got >= float64(minRate) && got <= float64(maxRate)) { // NaN is neither
			break
		}
		*r = Rate(got)
		return nil
	}
	return fmt.Errorf("got %q, want %s", text, wantRate)
}

// MarshalText writes what UnmarshalText reads, in the largest unit without a fraction.
func (r Rate) MarshalText() ([]byte, error) {
	for _, unit := range rateUnits {
		if r != 0 && r%unit.bits == 0 {
			return fmt.Appendf(nil, "%d%s", r/unit.bits, unit.name), nil
		}
	}
	return []byte("0"), nil
}

// bucket meters the bytes of the link. Whoever wants to send a lot waits for it
// to be in credit; what is written is debited as it goes, the small talk of the
// protocol too, which never waits: a library's lock may be held meanwhile.
type bucket struct {
	mu    sync.Mutex
	rate  float64 // bytes a second; 0: no limit
	level float64 // bytes that may go now; negative: in debt
	at    time.Time
	wake  chan struct{} // closed when the rate changes
}

func newBucket(rate Rate) *bucket {
	b := &bucket{wake: make(chan struct{})}
	b.set(rate)
	return b
}

// burst is how much may go at once after a pause.
const burst = time.Second

func (b *bucket) set(rate Rate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fillLocked(time.Now())
	b.rate = float64(rate) / 8
	b.level = min(b.level, b.rate*burst.Seconds())
	close(b.wake)
	b.wake = make(chan struct{})
}

func (b *bucket) fillLocked(now time.Time) {
	if !b.at.IsZero() && b.rate > 0 {
		b.level = min(b.level+b.rate*now.Sub(b.at).Seconds(), b.rate*burst.Seconds())
	}
	b.at = now
}

// debit takes n bytes that are being written.
func (b *bucket) debit(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fillLocked(time.Now())
	if b.rate > 0 {
		b.level -= float64(n)
	}
}

// credit is how long it takes until more may be sent, 0 for now. changed is
// closed when that is no longer true.
func (b *bucket) credit() (wait time.Duration, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fillLocked(time.Now())
	if b.rate == 0 || b.level >= 0 {
		return 0, b.wake
	}
	return time.Duration(math.Ceil(-b.level / b.rate * float64(time.Second))), b.wake
}

// most is how many bytes one message should have at most so that it does not
// take the whole line for longer than a second.
func (b *bucket) most(limit int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rate == 0 {
		return limit
	}
	return min(limit, int(b.rate*burst.Seconds()))
}
