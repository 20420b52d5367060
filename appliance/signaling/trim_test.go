package signaling

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestTrimFollowsAWave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trim, start := newTrim(), time.Now()
		var freed []time.Duration
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			trim.run(ctx, func() { freed = append(freed, time.Since(start)) })
		}()
		for range 3 * trimMoves { // a wave of three seconds
			trim.moved()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(freed) != 1 || freed[0] < 3*time.Second || freed[0] > 5*time.Second {
			t.Errorf("after a wave of 3s memory was freed at %v", freed)
		}
		for range trimMoves - 1 {
			trim.moved()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(freed) != 1 {
			t.Errorf("a few connections had memory freed at %v", freed)
		}
		stop()
		<-done
	})
}

// A wave that does not end is trimmed all the same.
func TestTrimDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trim := newTrim()
		freed := 0
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			trim.run(ctx, func() { freed++ })
		}()
		for range 60 * 100 {
			trim.moved()
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if freed < 4 || freed > 6 {
			t.Errorf("in a minute of comings and goings memory was freed %d times", freed)
		}
		stop()
		<-done
	})
}
