package turn

import (
	"context"
	"log/slog"
	"testing"
	"time"
)

// Between New, which lists the addresses, and the moment when the relay begins
// to watch them one may come, as when the box starts before DHCP has answered.
func TestWatchTellsWhatItMayHaveMissed(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	changes, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		watchAddrs(ctx, changes, slog.New(slog.DiscardHandler))
	}()
	select {
	case <-changes:
	case <-time.After(tendEvery / 2):
		t.Errorf("nothing told at first: an address of before is served after %v", tendEvery)
	}
	stop()
	<-done
}
