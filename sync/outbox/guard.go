package outbox

import (
	"errors"
	"fmt"
	"runtime/debug"
)

var (
	// ErrDamaged is returned when the file's content is not what was written.
	// The outbox moves it aside and begins anew by itself.
	ErrDamaged = errors.New("the outbox is damaged")
	// ErrDisk is returned when the disk does not deliver or take what it should.
	ErrDisk = errors.New("the disk of the outbox fails")
)

// guarded runs fn and turns panics of bbolt into ErrDamaged, and a fault of the
// file's mapping, which the kernel raises when the disk cannot deliver a page or
// the file was cut off, into ErrDisk.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if fault, ok := v.(interface {
			error
			Addr() uintptr
		}); ok && fault.Addr() >= 4096 { // below it is a nil pointer, not the mapping
			err = fmt.Errorf("%w: %v", ErrDisk, v)
			return
		}
		err = fmt.Errorf("%w: bbolt: %v", ErrDamaged, v)
	}()
	return fn()
}
