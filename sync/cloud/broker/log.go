package broker

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// serverLog has nats-server write into ours. What it notices is of interest
// when something is looked for; its errors are mostly those of clients, so they
// are bounded: a box that is refused again and again must not fill the log.
type serverLog struct {
	log   *slog.Logger
	limit *rate.Limiter
	lost  atomic.Uint64
	fatal chan error // buffered, the first is kept
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log.With("component", "nats"), limit: rate.NewLimiter(5, 50), fatal: make(chan error, 1)}
}

func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("broker notice", "text", fmt.Sprintf(format, v...))
}

func (l *serverLog) Warnf(format string, v ...any) { l.warn("broker warning", format, v) }

func (l *serverLog) Errorf(format string, v ...any) { l.warn("broker error", format, v) }

func (l *serverLog) warn(what, format string, v []any) {
	if !l.limit.Allow() {
		l.lost.Add(1)
		return
	}
	l.log.Warn("nats server reports", "kind", what, "text", fmt.Sprintf(format, v...), "lost", l.lost.Swap(0))
}

// Fatalf is called where nats-server alone would exit. It then goes on without
// being of use, so whoever waits for it is told.
func (l *serverLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.log.Error("nats server fails", "err", err)
	select {
	case l.fatal <- err:
	default:
	}
}

// Debugf and Tracef are never called: New leaves both switched off.
func (l *serverLog) Debugf(string, ...any) {}

func (l *serverLog) Tracef(string, ...any) {}
