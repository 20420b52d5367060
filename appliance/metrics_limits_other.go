//go:build !linux

package appliance

// Boxes run Linux; elsewhere these two metrics are left out.

func memoryMax() uint64 { return 0 }

func disk(string) (free, size uint64, ok bool) { return 0, 0, false }
