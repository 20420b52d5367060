package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"signalbox/systemd"
)

// statusEvery is how often the line for `systemctl status` may change where no
// watchdog is to be fed.
const statusEvery = 10 * time.Second

// served is what serves for as long as the process does: a box or a cloud node.
type served interface {
	Ready() <-chan struct{}
	// Line is how it is doing, for people, in one line.
	Line() string
	// Pulse fails when a part that matters does not answer any more.
	Pulse(context.Context) error
}

// service is the process as its manager sees it. Without a manager nothing but
// SIGHUP is left of it.
type service struct {
	served
	notify *systemd.Notifier
	period time.Duration // of the watchdog
	hup    chan os.Signal
	reload func() error
	log    *slog.Logger

	mu   sync.Mutex
	told string // the manager's line
}

// newService takes the program's SIGHUP, with which a manager asks to reload.
func newService(p *program, s served, log *slog.Logger, reload func() error) (*service, error) {
	getenv := p.getenv
	period, err := systemd.WatchdogPeriod(getenv)
	if err != nil {
		return nil, err
	}
	return &service{served: s, notify: systemd.NewNotifier(getenv), period: period, hup: p.hup, reload: reload, log: log}, nil
}

// holdHangup takes SIGHUP over for as long as the process lives: one that comes
// before it serves is seen to then, and one while it stops must not end it. In a
// terminal, nil, it goes on ending the process: there it says that nobody is left.
func holdHangup() chan os.Signal {
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err == nil {
		return nil
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	return hup
}

// A start that mends or copies a large database asks for more time again and
// again, long before TimeoutStartSec; one that hangs is not waited for for ever.
const (
	askForTime = 30 * time.Second
	moreTime   = 3 * time.Minute
	mostTime   = time.Hour
)

// takeTime asks for more time until done is called, which waits for that.
func takeTime(p *program, every time.Duration) (done func()) {
	n := systemd.NewNotifier(p.getenv)
	if !n.Present() {
		return func() {}
	}
	ctx, cancel := context.WithTimeout(p.ctx, mostTime)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = n.ExtendStart(moreTime) // what the manager does not hear it is asked again
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// getenv looks into the environment that the program was given.
func (p *program) getenv(name string) string {
	for _, entry := range p.environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// run tells the manager that the service is ready, after announce has told
// people, then how it does until ctx ends, and that it stops.
func (s *service) run(ctx context.Context, announce func(context.Context) error) error {
	select {
	case <-s.Ready():
	case <-ctx.Done():
		return nil // the part that failed says why
	}
	if err := announce(ctx); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // being stopped is no error
		}
		return err
	}
	s.untold(s.notify.Ready(s.Line()))
	debug.FreeOSMemory() // what the start took is several times what an idle service needs
	g, ctx := errgroup.WithContext(ctx)
	if s.period > 0 {
		g.Go(func() error { return unlessEnded(ctx, s.notify.Watch(ctx, s.period, s.pulse, s.untold)) })
	}
	g.Go(func() error { return s.listen(ctx) })
	err := g.Wait()
	if ctx.Err() != nil {
		_ = s.notify.Stopping("stopping") // it ends whether or not anybody hears it
	}
	return err
}

// pulse is Pulse with what follows from it: a line for the manager, or one in
// the log that says why the manager is not fed.
func (s *service) pulse(ctx context.Context) error {
	err := s.Pulse(ctx)
	switch {
	case err == nil:
		s.tell()
	case !errors.Is(ctx.Err(), context.Canceled):
		s.forget() // the manager's line is about this now
		s.log.Error("the service does not answer itself; its manager will start it again if that goes on", "err", err)
	}
	return err
}

func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// listen reloads when asked to, and keeps the manager's line up to date where
// the watchdog does not: an idle process should wake up as seldom as it can.
func (s *service) listen(ctx context.Context) error {
	var tick <-chan time.Time
	if s.notify.Present() && s.period == 0 {
		ticker := time.NewTicker(statusEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			s.tell()
		case <-s.hup:
			s.reloadNow()
		}
	}
}

// tell gives the manager a new line if there is one.
func (s *service) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := s.Line()
	if line == s.told {
		return
	}
	s.told = line
	s.untold(s.notify.Status(line))
}

// untold notes what the manager did not hear. A service that is well goes on:
// whether that is enough is for the manager to say.
func (s *service) untold(err error) {
	if err != nil {
		s.log.Warn("the service manager was not told how the service is", "err", err)
	}
}

// forget has the next line told in any case.
func (s *service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = ""
}

// reloadNow has the manager wait while the configuration is read again. What was
// wrong with it is in the line afterwards; it is no reason to end.
func (s *service) reloadNow() {
	s.untold(s.notify.Reloading())
	_ = s.reload() // said in the log and in the line
	s.forget()
	s.untold(s.notify.Ready(s.Line()))
}
