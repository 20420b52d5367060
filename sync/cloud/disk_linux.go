package cloud

import "golang.org/x/sys/unix"

// disk is the file system with dir, as somebody without privileges can use it,
// in bytes.
func disk(dir string) (free, size uint64, ok bool) {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return 0, 0, false
	}
	block := uint64(fs.Bsize)
	return fs.Bavail * block, fs.Blocks * block, true
}
