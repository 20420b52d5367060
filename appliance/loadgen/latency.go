package loadgen

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Latency counts times in buckets about 3 % wide, from a microsecond to an
// hour. It may be used concurrently; the zero value is empty.
type Latency struct {
	count   atomic.Uint64
	sum     atomic.Uint64 // microseconds
	max     atomic.Uint64
	buckets [latencyBuckets]atomic.Uint64
}

const (
	subBits        = 5 // 32 buckets for each doubling
	latencyBuckets = 28 << subBits
)

func latencyBucket(us uint64) int {
	if us < 1<<subBits {
		return int(us)
	}
	shift := bits.Len64(us) - subBits - 1
	return min((shift+1)<<subBits|int(us>>shift)&(1<<subBits-1), latencyBuckets-1)
}

// bucketFloor is the least value that falls into a bucket.
func bucketFloor(i int) uint64 {
	if i < 1<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (1<<subBits | uint64(i)&(1<<subBits-1)) << shift
}

// Add counts one time.
func (l *Latency) Add(d time.Duration) {
	us := uint64(max(d.Microseconds(), 0))
	l.count.Add(1)
	l.sum.Add(us)
	l.buckets[latencyBucket(us)].Add(1)
	for {
		old := l.max.Load()
		if us <= old || l.max.CompareAndSwap(old, us) {
			return
		}
	}
}

// Count is how many times were added.
func (l *Latency) Count() uint64 { return l.count.Load() }

// Max is the longest.
func (l *Latency) Max() time.Duration { return time.Duration(l.max.Load()) * time.Microsecond }

// Mean is their average.
func (l *Latency) Mean() time.Duration {
	n := l.count.Load()
	if n == 0 {
		return 0
	}
	return time.Duration(l.sum.Load()/n) * time.Microsecond
}

// Quantile is the time that a share q of all did not exceed: 0.99 for p99.
func (l *Latency) Quantile(q float64) time.Duration {
	total := l.count.Load()
	rank, seen := uint64(q*float64(total)), uint64(0)
	for i := range l.buckets {
		if seen += l.buckets[i].Load(); seen > rank {
			middle := (bucketFloor(i) + bucketFloor(i+1)) / 2
			return min(time.Duration(middle)*time.Microsecond, l.Max())
		}
	}
	return l.Max()
}
