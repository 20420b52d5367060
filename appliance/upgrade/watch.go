package upgrade

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Manager is the service manager.
type Manager interface {
	// State is how the unit is doing now.
	State(ctx context.Context, unit string) (State, error)
	Stop(ctx context.Context, unit string) error
	// Start also forgets that the unit has failed before.
	Start(ctx context.Context, unit string) error
}

// State is a unit as its manager sees it.
type State struct {
	Active   bool          // up, and has said that it is ready
	Stopped  bool          // down, not by itself, and not about to start
	Queued   bool          // down, and waits for its turn to start
	PID      int           // of its main process, 0 when there is none
	Restarts int           // how often the manager has started it again by itself
	Watchdog time.Duration // 0 when the unit has none
	Fed      time.Duration // since the watchdog was fed last
	Result   string        // why the main process ended last, in the manager's words
}

// Health asks the service how it is, and which version answers; "" when none
// does. The error says what is wrong.
type Health func(ctx context.Context, cloud bool) (version string, err error)

// Watcher judges a program on trial.
type Watcher struct {
	Layout  Layout
	Manager Manager
	Health  Health
	// Version asks a program what it is. It may well fail: Unknown.
	Version func(ctx context.Context, program string) string

	Hold     time.Duration // how long it has to be well without a break; 60 s
	Patience time.Duration // how long it may be unwell at a time; 60 s
	Deaths   int           // how often it may end, or the machine start anew; 3
	Every    time.Duration // between two looks; 2 s
	Logger   *slog.Logger
}

var (
	// ErrNoTrial is returned by Watch when no program is on trial.
	ErrNoTrial = errors.New("no program is on trial")
	// ErrStopped is returned by Watch when somebody stops the service.
	ErrStopped = errors.New("the service was stopped during the trial, which begins anew with the next start")
	// errChanged ends the judgement of what is not on trial any more.
	errChanged = errors.New("the trial or the program is another now")
)

// Watch looks after the trial until there is a verdict and returns it; a program
// that fails has been replaced by then. When somebody stops the service, or ctx
// ends, there is no verdict and the trial begins anew with the next start.
func (w Watcher) Watch(ctx context.Context) (Verdict, error) {
	for {
		verdict, err := w.watch(ctx)
		if !errors.Is(err, errChanged) {
			return verdict, err
		}
		w.Logger.Info("another program was installed, or its trial begun anew")
	}
}

// watch finds the verdict on one program, or returns errChanged.
func (w Watcher) watch(ctx context.Context) (Verdict, error) {
	trial, err := w.Layout.begin()
	switch {
	case errors.Is(err, ErrNone):
		return Verdict{}, ErrNoTrial
	case err != nil:
		return Verdict{}, err
	}
	c := candidate{trial: trial}
	c.file, _ = os.Stat(w.Layout.Program) // nil: there is none yet, or no longer
	verdict := Verdict{From: trial.From}
	switch {
	case trial.Failed != nil:
		verdict = *trial.Failed
	case !w.Layout.isNew():
		return verdict, w.expire(ctx, c)
	default:
		c.version = w.Version(ctx, w.Layout.Program)
		w.Logger.Info("a new version is on trial", "version", c.version, "before", verdict.From)
		if verdict.Reason, err = w.judge(ctx, &c); err != nil {
			return verdict, err
		}
		verdict.To, verdict.Good, verdict.Time = c.version, verdict.Reason == "", time.Now().UTC()
	}
	return verdict, w.finish(ctx, c, verdict)
}

// candidate is what is on trial.
type candidate struct {
	trial   Trial
	file    os.FileInfo // the installed program; nil when there was none
	version string
}

// stands reports whether c is still what is on trial.
func (l Layout) stands(c candidate) bool {
	trial, err := l.ReadTrial()
	if err != nil || !trial.same(c.trial) {
		return false
	}
	file, err := os.Stat(l.Program)
	if err != nil || c.file == nil {
		return err != nil && c.file == nil
	}
	return os.SameFile(file, c.file) && file.Size() == c.file.Size() && file.ModTime().Equal(c.file.ModTime())
}

// finish gives the verdict, unless it is on what is not on trial any more.
func (w Watcher) finish(ctx context.Context, c candidate, v Verdict) error {
	return w.Layout.locked(func() error {
		if !w.Layout.stands(c) {
			return errChanged
		}
		if v.Good {
			w.Logger.Info("the new version has passed its trial", "version", v.To)
			return errors.Join(w.Layout.write(verdictName, v), w.Layout.remove(trialName))
		}
		w.Logger.Error("the new version fails its trial, the one before is put back", "version", v.To, "before", v.From, "reason", v.Reason)
		return w.Layout.takeBack(ctx, w.Manager, c.trial, v)
	})
}

// expire ends a trial of nothing: the installed program is the one that is kept,
// as after an upgrade to the same version, or one that was broken off. A package
// that is about to replace the program has until then.
func (w Watcher) expire(ctx context.Context, c candidate) error {
	ticker := time.NewTicker(w.Every)
	defer ticker.Stop()
	for began := time.Now(); time.Since(began) < w.Hold; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		if !w.Layout.stands(c) {
			return errChanged
		}
	}
	return w.Layout.locked(func() error {
		if !w.Layout.stands(c) {
			return errChanged
		}
		return errors.Join(w.Layout.remove(trialName), ErrNoTrial)
	})
}

// stoppedLooks is how many looks may find the service stopped: it is, for a
// moment, while it is started again, and before its first start.
const stoppedLooks = 5

// judge returns why the program fails, "" when it does not.
func (w Watcher) judge(ctx context.Context, c *candidate) (reason string, err error) {
	if n := c.trial.Boots; n >= w.Deaths {
		return fmt.Sprintf("the machine was started %d times before it was well for %v", n, w.Hold), nil
	}
	ticker := time.NewTicker(w.Every)
	defer ticker.Stop()
	var last State
	var deaths, stopped int
	wellSince, illSince, ill := time.Time{}, time.Now(), "it has not been ready yet"
	for first := true; ; first = false {
		if !w.Layout.stands(*c) {
			return "", errChanged
		}
		state, err := w.Manager.State(ctx, w.Layout.Unit)
		if err != nil {
			return "", err
		}
		if !first {
			deaths += max(state.Restarts-last.Restarts, 0) // a start by hand counts from 0 again
		}
		if stopped++; !state.Stopped {
			stopped = 0
		}
		now := time.Now()
		if !first && state.PID != last.PID && !wellSince.IsZero() { // another process has to show itself
			wellSince, illSince, ill = time.Time{}, now, "it was started again"
		}
		last = state
		began, why := w.look(ctx, state, c)
		switch {
		case !began: // not this program's doing
			wellSince, illSince, deaths = time.Time{}, now, 0
		case why != "" && !wellSince.IsZero():
			wellSince, illSince, ill = time.Time{}, now, why
		case why != "":
			ill = why
		case wellSince.IsZero():
			wellSince = now
		}
		switch {
		case stopped > stoppedLooks:
			return "", ErrStopped
		case deaths >= w.Deaths:
			return fmt.Sprintf("it ended %d times, the last time with %s", deaths, state.Result), nil
		case wellSince.IsZero() && now.Sub(illSince) >= w.Patience:
			return fmt.Sprintf("not well for %v: %s", w.Patience, ill), nil
		case !wellSince.IsZero() && now.Sub(wellSince) >= w.Hold && fedSince(state, now.Sub(wellSince)):
			return "", nil
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// fedSince reports whether the watchdog was fed during the last d.
func fedSince(s State, d time.Duration) bool { return s.Watchdog == 0 || s.Fed < d }

// look says what is wrong at the moment. began is false while the program has not
// been started: the service waits for its turn, or the one before still runs, as
// it does from the unpacking of a package to the restart.
func (w Watcher) look(ctx context.Context, s State, c *candidate) (began bool, why string) {
	if !s.Active {
		return !s.Queued, "the service is not ready"
	}
	answers, err := w.Health(ctx, c.trial.Cloud)
	if answers != "" && c.version == Unknown {
		c.version = w.Version(ctx, w.Layout.Program) // it may have been in want of time
	}
	if began = answers == "" || answers == c.version; err != nil {
		return began, err.Error()
	}
	return began, ""
}
