package turn_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// trial is a part of a test that may fail without failing the test: what it
// says is kept.
type trial struct {
	testing.TB // the test, for everything else

	mu    sync.Mutex
	words []string
}

// try runs part to its end or its first fatal failure and returns what failed.
func try(t testing.TB, part func(t testing.TB)) (failures []string) {
	tr := &trial{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		part(tr)
	}()
	<-done
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.words
}

func (tr *trial) fail(what string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.words = append(tr.words, what)
}

func (tr *trial) Error(args ...any)                 { tr.fail(fmt.Sprint(args...)) }
func (tr *trial) Errorf(format string, args ...any) { tr.fail(fmt.Sprintf(format, args...)) }

func (tr *trial) Fatal(args ...any) {
	tr.fail(fmt.Sprint(args...))
	runtime.Goexit()
}

func (tr *trial) Fatalf(format string, args ...any) {
	tr.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}
