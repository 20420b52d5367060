package upstream

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"signalbox/sync/wire"
)

// machine reads what the kernel knows of the machine and of this process.
type machine struct {
	dir         string // whose disk counts
	busy, total uint64 // of the processors, at the last look
}

// look adds its gauges. What cannot be read is left out.
func (m *machine) look(into map[wire.MetricID]int64) {
	into[wire.BoxUptimeS] = int64(sinceBoot().Seconds())
	if permille, ok := m.cpu(); ok {
		into[wire.BoxCPUPermille] = permille
	}
	if fields := bytes.Fields(read("/proc/self/statm")); len(fields) > 1 {
		into[wire.BoxRSSBytes] = number(fields[1]) * int64(os.Getpagesize())
	}
	if limit := memoryLimit(); limit > 0 {
		into[wire.BoxMemoryLimitBytes] = limit
	}
	var fs unix.Statfs_t
	if unix.Statfs(m.dir, &fs) == nil {
		into[wire.BoxDiskFreeBytes] = int64(fs.Bavail) * int64(fs.Bsize)
		into[wire.BoxDiskTotalBytes] = int64(fs.Blocks) * int64(fs.Bsize)
	}
	// Since Linux 6.2 the size of this folder is the number of open files. To
	// list ten thousand of them every ten seconds would cost more than it tells.
	if info, err := os.Stat("/proc/self/fd"); err == nil && info.Size() > 0 {
		into[wire.BoxFDs] = info.Size()
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		into[wire.BoxFDLimit] = int64(min(limit.Cur, math.MaxInt32))
	}
	if hottest, ok := temperature(); ok {
		into[wire.BoxTemperatureMc] = hottest
	}
}

// cpu is the share of all processors that was busy since the last look.
func (m *machine) cpu() (permille int64, ok bool) {
	line, _, _ := bytes.Cut(read("/proc/stat"), []byte("\n"))
	var busy, total uint64
	for i, f := range bytes.Fields(line) {
		if i == 0 || i > 8 { // its name; guests are in user time already
			continue
		}
		n := uint64(number(f))
		total += n
		if i != 4 && i != 5 { // idle, waiting for the disk
			busy += n
		}
	}
	if m.total > 0 && total > m.total && busy >= m.busy {
		permille, ok = int64((busy-m.busy)*1000/(total-m.total)), true
	}
	m.busy, m.total = busy, total
	return permille, ok
}

// memoryLimit is what the process may take: its control group's limit, or all.
func memoryLimit() int64 {
	limit := int64(0)
	for line := range bytes.Lines(read("/proc/meminfo")) {
		if rest, ok := bytes.CutPrefix(line, []byte("MemTotal:")); ok {
			limit = number(bytes.Fields(rest)[0]) * 1024
		}
	}
	group, _ := strings.CutPrefix(strings.TrimSpace(string(read("/proc/self/cgroup"))), "0::")
	if most := number(bytes.TrimSpace(read(filepath.Join("/sys/fs/cgroup", group, "memory.max")))); most > 0 && most < limit {
		limit = most
	}
	return limit
}

func temperature() (hottest int64, ok bool) {
	zones, _ := filepath.Glob("/sys/class/thermal/thermal_zone*/temp")
	for _, zone := range zones {
		if t := number(bytes.TrimSpace(read(zone))); t != 0 {
			hottest, ok = max(hottest, t), true
		}
	}
	return hottest, ok
}

func read(file string) []byte {
	data, _ := os.ReadFile(file)
	return data
}

// number is 0 for what is none.
func number(text []byte) int64 {
	n, _ := strconv.ParseInt(string(text), 10, 64)
	return n
}

// sinceBoot counts on while the machine sleeps.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// bootID names the running boot, 0 when the kernel does not tell.
func bootID() uint32 { return hash32(bytes.TrimSpace(read("/proc/sys/kernel/random/boot_id"))) }
