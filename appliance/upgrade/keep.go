package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Before is what is known about the box just before its program is replaced.
type Before struct {
	Version string // of the installed program
	Cloud   bool   // it is connected to its cloud
	// Judged says that the service runs, or will, under a manager that brings a
	// watcher up with it. Without one nobody ends a trial, so there is none.
	Judged bool
}

// Keep copies the installed program away and begins a trial of what is about to
// be installed. While a trial is going on already, the program that is kept stays,
// as the installed one has not proven itself, and the trial begins anew; kept is
// false then.
func (l Layout) Keep(b Before) (kept bool, err error) {
	err = l.locked(func() error {
		l.sweep()
		trial := Trial{From: b.Version, Began: time.Now().UTC(), Cloud: b.Cloud, Boot: l.boot()}
		if last, err := l.ReadTrial(); err == nil && b.Judged && l.hasPrevious() && l.isNew() {
			trial.From, trial.Cloud = last.From, last.Cloud || b.Cloud
			return l.write(trialName, trial)
		}
		kept = true
		if l.isNew() {
			if err := place(l.Program, l.Previous); err != nil {
				return fmt.Errorf("keep the installed program: %w", err)
			}
		}
		if !b.Judged {
			return l.remove(trialName)
		}
		return l.write(trialName, trial)
	})
	return kept && err == nil, err
}

// RollbackNow puts the kept program in place of the installed one and has m start
// the service again; where m is nil, that is left to the caller. version asks a
// program what it is. A watcher that is at work finds its trial ended.
func (l Layout) RollbackNow(ctx context.Context, m Manager, version func(ctx context.Context, program string) string, reason string) (v Verdict, err error) {
	err = l.locked(func() error {
		if !l.hasPrevious() {
			return fmt.Errorf("there is no earlier program to go back to at %s", l.Previous)
		}
		trial, err := l.ReadTrial()
		if err == nil && trial.Failed != nil { // begun before, and cut short
			v = *trial.Failed
			return l.takeBack(ctx, m, trial, v)
		}
		if !l.isNew() {
			return errors.New("the installed program is the one to go back to")
		}
		v = Verdict{From: version(ctx, l.Previous), To: version(ctx, l.Program), Time: time.Now().UTC(), Reason: reason}
		if v.From == Unknown && trial.From != "" {
			v.From = trial.From
		}
		return l.takeBack(ctx, m, trial, v)
	})
	return v, err
}

// takeBack goes back to the kept program, by the steps that the package describes.
// Each may be done again. It touches the service only after the program: where
// that cannot be replaced, one that limps is better than none.
func (l Layout) takeBack(ctx context.Context, m Manager, trial Trial, v Verdict) error {
	if trial.Failed == nil {
		trial.Failed = &v
		if err := l.write(trialName, trial); err != nil && !isFull(err) { // room comes with the next step
			return fmt.Errorf("note that the program is taken back: %w", err)
		}
	}
	if l.isNew() {
		if err := place(l.Previous, l.Program); err != nil {
			return fmt.Errorf("put %s back: %w; is %s writable?", l.Previous, err, l.Program)
		}
	}
	if m == nil {
		return errors.Join(l.write(verdictName, trial.Failed), l.remove(trialName))
	}
	err := m.Stop(ctx, l.Unit)
	// The service reads the verdict when it starts; it starts without one as well.
	if err := errors.Join(err, l.write(verdictName, trial.Failed), m.Start(ctx, l.Unit)); err != nil {
		return err
	}
	return l.remove(trialName)
}

func (l Layout) hasPrevious() bool {
	info, err := os.Stat(l.Previous)
	return err == nil && info.Mode().IsRegular()
}

// isNew reports whether the installed program is another than the one that is
// kept. One that is missing or cannot be read is.
func (l Layout) isNew() bool {
	same, err := sameContent(l.Program, l.Previous)
	return err != nil || !same
}

func sameContent(x, y string) (bool, error) {
	a, err := os.Open(x)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := os.Open(y)
	if err != nil {
		return false, err
	}
	defer b.Close()
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		ended := errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF)
		switch {
		case ended:
			return true, nil // both: they are equally long
		case errA != nil || errB != nil:
			return false, errors.Join(errA, errB)
		}
	}
}
