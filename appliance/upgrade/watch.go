package upgrade

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	Stopped  bool          // down, and not by itself
	PID      int           // of its main process, 0 when there is none
	Restarts int           // how often the manager has started it again by itself
	Watchdog time.Duration // 0 when the unit has none
	Fed      time.Duration // since the watchdog was fed last
	Result   string        // why the main process ended last, in the manager's words
}

// Health asks the service how it is. The error says what is wrong.
type Health func(ctx context.Context, cloud bool) error

// Watcher judges a program on trial.
type Watcher struct {
	Layout  Layout
	Manager Manager
	Health  Health
	// To asks the installed program for its version; it may well fail.
	To func(ctx context.Context) string

	Hold     time.Duration // how long it has to be well without a break; 60 s
	Patience time.Duration // how long it may be unwell at a time; 60 s
	Deaths   int           // how often it may end; 3
	Every    time.Duration // between two looks; 2 s
	Logger   *slog.Logger
}

// ErrNoTrial is returned by Watch when no program is on trial.
var ErrNoTrial = errors.New("no program is on trial")

// Watch looks after the trial until there is a verdict and returns it; a program
// that fails has been replaced by then. When somebody stops the service, or ctx
// ends, there is no verdict and the trial begins anew with the next start.
func (w Watcher) Watch(ctx context.Context) (Verdict, error) {
	trial, err := w.Layout.ReadTrial()
	if err != nil && !errors.Is(err, ErrNone) {
		return Verdict{}, err
	}
	if err != nil || !w.Layout.isNew() {
		return Verdict{}, ErrNoTrial
	}
	verdict := Verdict{From: trial.From, To: w.To(ctx)}
	w.Logger.Info("a new version is on trial", "version", verdict.To, "before", verdict.From)
	verdict.Reason, err = w.judge(ctx, trial)
	if err != nil {
		return verdict, err
	}
	if verdict.Good = verdict.Reason == ""; !verdict.Good {
		w.Logger.Error("the new version fails its trial, the one before is put back", "version", verdict.To, "before", verdict.From, "reason", verdict.Reason)
		return verdict, w.Layout.takeBack(ctx, w.Manager, &verdict)
	}
	verdict.Time = time.Now().UTC()
	if err := errors.Join(w.Layout.write(verdictName, verdict), w.Layout.remove(trialName)); err != nil {
		return verdict, err
	}
	w.Logger.Info("the new version has passed its trial", "version", verdict.To)
	return verdict, nil
}

// ErrStopped is returned by Watch when somebody stops the service.
var ErrStopped = errors.New("the service was stopped during the trial, which begins anew with the next start")

// stoppedLooks is how many looks may find the service stopped: it is, for a
// moment, while it is started again, and before its first start.
const stoppedLooks = 5

// judge returns why the program fails, "" when it does not.
func (w Watcher) judge(ctx context.Context, trial Trial) (reason string, err error) {
	ticker := time.NewTicker(w.Every)
	defer ticker.Stop()
	var last State
	var deaths, stopped int
	wellSince, illSince, ill := time.Time{}, time.Now(), "it has not been ready yet"
	for first := true; ; first = false {
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
		switch why := w.unwell(ctx, state, trial); {
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

// unwell says what is wrong at the moment.
func (w Watcher) unwell(ctx context.Context, s State, trial Trial) string {
	if !s.Active {
		return "the service is not ready"
	}
	if err := w.Health(ctx, trial.Cloud); err != nil {
		return err.Error()
	}
	return ""
}
