package turn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
	"golang.org/x/time/rate"
)

// limitedLog lets a few records a second through. Whatever a stranger can
// cause goes through it, so that nobody fills a disk from the network.
type limitedLog struct {
	log     *slog.Logger
	limiter *rate.Limiter
}

func newLimitedLog(log *slog.Logger) *limitedLog {
	return &limitedLog{log: log, limiter: rate.NewLimiter(1, 10)}
}

// Warn and Debug are those of slog.Logger; msg is constant.
func (l *limitedLog) Warn(msg string, args ...any)  { l.record(slog.LevelWarn, msg, args) }
func (l *limitedLog) Debug(msg string, args ...any) { l.record(slog.LevelDebug, msg, args) }

func (l *limitedLog) record(level slog.Level, msg string, args []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) && l.limiter.Allow() {
		l.log.Log(ctx, level, msg, args...)
	}
}

// pionLog is what pion logs to. Its debug and trace lines are not even put
// together, and its errors are about single packets: debug lines of ours.
type pionLog struct{ limited *limitedLog }

var _ logging.LoggerFactory = pionLog{}

func (p pionLog) NewLogger(string) logging.LeveledLogger { return p }

func (pionLog) Trace(string)          {}
func (pionLog) Tracef(string, ...any) {}
func (pionLog) Debug(string)          {}
func (pionLog) Debugf(string, ...any) {}
func (pionLog) Info(string)           {}
func (pionLog) Infof(string, ...any)  {}

func (p pionLog) Warn(msg string)                   { p.limited.Debug("pion warning", "reason", msg) }
func (p pionLog) Warnf(format string, args ...any)  { p.formatted("pion warning", format, args) }
func (p pionLog) Error(msg string)                  { p.limited.Debug("pion error", "reason", msg) }
func (p pionLog) Errorf(format string, args ...any) { p.formatted("pion error", format, args) }

func (p pionLog) formatted(msg, format string, args []any) {
	if p.limited.log.Enabled(context.Background(), slog.LevelDebug) {
		p.limited.Debug(msg, "reason", fmt.Sprintf(format, args...))
	}
}
