package store

import (
	"fmt"
	"runtime/debug"
)

// catchFault runs fn and turns a fault of the file mapping into ErrFailed. The
// kernel answers a read of a mapped page with SIGBUS when the disk cannot
// deliver it, which would otherwise end the process. Other panics pass.
func catchFault(fn func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(before)
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if !isFault(v) {
			panic(v)
		}
		err = fmt.Errorf("%w: the file cannot be read: %v", ErrFailed, v)
	}()
	return fn()
}

// isFault tells a fault at a real address from a panic of the program; a nil
// dereference has no address.
func isFault(v any) bool {
	fault, ok := v.(interface {
		error
		Addr() uintptr
	})
	return ok && fault.Addr() >= 4096
}

// catchPanic is deferred around bbolt, which panics on pages that it does not
// understand. A fault passes, to be told apart by catchFault.
func catchPanic(err *error) {
	v := recover()
	if v == nil {
		return
	}
	if isFault(v) {
		panic(v)
	}
	*err = fmt.Errorf("%w: bbolt: %v", ErrDamaged, v)
}

// catchAll runs fn and turns every panic into an error: ErrFailed for the
// disk, ErrDamaged for what bbolt found in the file.
func catchAll(fn func() error) error {
	return catchFault(func() (err error) {
		defer catchPanic(&err)
		return fn()
	})
}
