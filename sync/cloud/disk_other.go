//go:build !linux

package cloud

// disk is not known on other systems.
func disk(string) (free, size uint64, ok bool) { return 0, 0, false }
