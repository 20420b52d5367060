package appliance

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroups is where control groups (v2) are found.
const cgroups = "/sys/fs/cgroup"

// memoryMax is the most memory that this process may take, in bytes: the lowest
// of the machine's and of the limits of its control group and those around it.
// It is 0 when the kernel tells none.
func memoryMax() uint64 {
	var info unix.Sysinfo_t
	most := uint64(0)
	if unix.Sysinfo(&info) == nil {
		most = uint64(info.Totalram) * uint64(info.Unit)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return most
	}
	return lowestLimit(cgroups, string(own), most)
}

// lowestLimit walks from the group that own names, as /proc/PID/cgroup does, up
// to root. A group without a limit has no file, or "max" in it.
func lowestLimit(root, own string, most uint64) uint64 {
	for line := range strings.Lines(own) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		for group = filepath.Clean("/" + group); group != "/"; group = filepath.Dir(group) {
			text, _ := os.ReadFile(filepath.Join(root, group, "memory.max"))
			if limit, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64); err == nil && (most == 0 || limit < most) {
				most = limit
			}
		}
	}
	return most
}

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
