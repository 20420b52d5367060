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

// Keep copies the installed program away and begins a trial of what is about to
// be installed. version is that of the installed program, cloud tells whether it
// is connected to its cloud. While a trial is going on already, the program that
// is kept stays: the installed one has not proven itself. kept is false then.
func (l Layout) Keep(version string, cloud bool) (kept bool, err error) {
	if _, err := l.ReadTrial(); err == nil && l.isNew() {
		return false, nil
	}
	if err := copyProgram(l.Program, l.Previous); err != nil {
		return false, fmt.Errorf("keep the installed program: %w", err)
	}
	if err := l.write(trialName, Trial{From: version, Began: time.Now().UTC(), Cloud: cloud}); err != nil {
		return false, fmt.Errorf("note the upgrade: %w", err)
	}
	return true, nil
}

// RollbackNow puts the kept program in place of the installed one and starts the
// service again.
func (l Layout) RollbackNow(ctx context.Context, m Manager, to func(context.Context) string, reason string) (Verdict, error) {
	v := Verdict{To: to(ctx), Reason: reason, From: "the version before"}
	if trial, err := l.ReadTrial(); err == nil {
		v.From = trial.From
	} else if last, err := l.ReadVerdict(); err == nil && last.Good {
		v.From = last.From
	}
	if !l.isNew() {
		return v, errors.New("the installed program is the one to go back to")
	}
	return v, l.takeBack(ctx, m, &v)
}

// takeBack touches the service last: where the program cannot be replaced, one
// that limps is better than none. The service reads the verdict when it starts.
func (l Layout) takeBack(ctx context.Context, m Manager, v *Verdict) error {
	if err := l.Rollback(); err != nil {
		return err
	}
	v.Time = time.Now().UTC()
	if err := errors.Join(l.write(verdictName, v), l.remove(trialName)); err != nil {
		return err
	}
	return errors.Join(m.Stop(ctx, l.Unit), m.Start(ctx, l.Unit))
}

// Rollback puts the kept program in place of the installed one. A service that
// runs goes on with what it was started from.
func (l Layout) Rollback() error {
	if _, err := os.Stat(l.Previous); err != nil {
		return fmt.Errorf("there is no earlier program to go back to: %w", err)
	}
	if err := copyProgram(l.Previous, l.Program); err != nil {
		return fmt.Errorf("put %s back: %w; is %s writable?", l.Previous, err, l.Program)
	}
	return nil
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
