package loadgen

import (
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pacer tells how many messages are due. Go's own timers wake an idle process
// a millisecond late, which would make bursts out of an even load; a timer of
// the kernel that is read like a file wakes it when it is time.
type pacer struct {
	timer   *os.File
	perTick float64
	due     float64
}

// shortestTick keeps the timer itself from being a load.
const shortestTick = 50 * time.Microsecond

func newPacer(rate float64) (*pacer, error) {
	tick := max(time.Duration(float64(time.Second)/rate), shortestTick)
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create a timer: %w", err)
	}
	spec := unix.ItimerSpec{Interval: unix.NsecToTimespec(int64(tick)), Value: unix.NsecToTimespec(int64(tick))}
	if err := unix.TimerfdSettime(fd, 0, &spec, nil); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("set a timer: %w", err)
	}
	return &pacer{timer: os.NewFile(uintptr(fd), "timer"), perTick: rate * tick.Seconds()}, nil
}

// wait blocks until messages are due, and says how many.
func (p *pacer) wait() (int, error) {
	var ticks [8]byte
	if _, err := p.timer.Read(ticks[:]); err != nil {
		return 0, fmt.Errorf("read a timer: %w", err)
	}
	p.due += float64(binary.NativeEndian.Uint64(ticks[:])) * p.perTick
	n := int(p.due)
	p.due -= float64(n)
	return n, nil
}

func (p *pacer) close() { p.timer.Close() }
