package turn

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
	"golang.org/x/time/rate"
)

// limited lets a few records a second through to log. Whatever a stranger can
// cause goes through it, so that nobody fills a disk from the network.
func limited(log *slog.Logger) *slog.Logger {
	return slog.New(limitedHandler{log.Handler(), rate.NewLimiter(1, 10)})
}

type limitedHandler struct {
	slog.Handler
	limiter *rate.Limiter
}

func (h limitedHandler) Handle(ctx context.Context, r slog.Record) error {
	if !h.limiter.Allow() {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h limitedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return limitedHandler{h.Handler.WithAttrs(attrs), h.limiter}
}

func (h limitedHandler) WithGroup(name string) slog.Handler {
	return limitedHandler{h.Handler.WithGroup(name), h.limiter}
}

// pionLog is what pion logs to. Its debug and trace lines are not even put
// together, and its errors are about single packets: debug lines of ours.
type pionLog struct{ log *slog.Logger }

var _ logging.LoggerFactory = pionLog{}

func (p pionLog) NewLogger(string) logging.LeveledLogger { return p }

func (pionLog) Trace(string)          {}
func (pionLog) Tracef(string, ...any) {}
func (pionLog) Debug(string)          {}
func (pionLog) Debugf(string, ...any) {}
func (pionLog) Info(string)           {}
func (pionLog) Infof(string, ...any)  {}

func (p pionLog) Warn(msg string) { p.log.Debug("pion warning", "reason", msg) }
func (p pionLog) Warnf(format string, args ...any) {
	p.log.Debug("pion warning", "reason", lazy{format, args})
}
func (p pionLog) Error(msg string) { p.log.Debug("pion error", "reason", msg) }
func (p pionLog) Errorf(format string, args ...any) {
	p.log.Debug("pion error", "reason", lazy{format, args})
}

// lazy is text that is put together when it is written.
type lazy struct {
	format string
	args   []any
}

func (l lazy) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf(l.format, l.args...)) }
