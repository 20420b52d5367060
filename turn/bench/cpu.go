//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// meter reads how much of a core was used, and by whom. The kernel counts the
// ticks of a core in steps too coarse for this, so the meter takes the time
// that the core was idle and the time that each task ran, both in nanoseconds.
type meter struct {
	core     int
	pid      int // of the server
	softirqd int // of the core's ksoftirqd
}

// sample is the meter's state at one moment; differences of two mean something.
type sample struct {
	at       time.Time
	idle     time.Duration // of the core
	process  time.Duration // of the server, what interrupted it included
	softirqd time.Duration
	tasks    time.Duration // of everything that ran on the core
}

// usage is what happened between two samples.
type usage struct {
	took    time.Duration
	server  time.Duration // core busy for the server: the process and the kernel's work for it
	process time.Duration // of that, charged to the process
	others  time.Duration // core busy for what has nothing to do with it
}

func newMeter(core, pid int) (*meter, error) {
	name := fmt.Sprintf("ksoftirqd/%d\n", core)
	found, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, err
	}
	for _, path := range found {
		if text, err := os.ReadFile(path); err == nil && string(text) == name {
			softirqd, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return &meter{core: core, pid: pid, softirqd: softirqd}, err
		}
	}
	return nil, fmt.Errorf("no process is named %q", name)
}

func (m *meter) read() (s sample, err error) {
	var errs [4]error
	s.process, errs[0] = taskTime(m.pid)
	s.softirqd, errs[1] = taskTime(m.softirqd)
	s.tasks, errs[2] = coreTaskTime(m.core)
	s.idle, errs[3] = coreIdle(m.core)
	s.at = time.Now()
	return s, errors.Join(errs[:]...)
}

// since is what happened from a to b. The core was busy for the server when it
// was neither idle nor running another task.
func (b sample) since(a sample) usage {
	u := usage{took: b.at.Sub(a.at), process: b.process - a.process}
	if b.tasks > 0 {
		u.others = max(0, b.tasks-a.tasks-u.process-(b.softirqd-a.softirqd))
	}
	u.server = max(u.process, u.took-(b.idle-a.idle)-u.others)
	return u
}

// taskTime is how long the threads of a process have run.
func taskTime(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("process %d is gone, or the kernel has no schedstat", pid)
	}
	var total time.Duration
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has just ended
		}
		ran, _, _ := bytes.Cut(text, []byte(" "))
		ns, err := strconv.ParseInt(string(ran), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s is %q", path, text)
		}
		total += time.Duration(ns)
	}
	return total, nil
}

// coreTaskTime is how long tasks have run on a core, 0 where the kernel does
// not say: then the core must have nothing else to do.
func coreTaskTime(core int) (time.Duration, error) {
	text, _ := os.ReadFile("/sys/fs/cgroup/cpuacct/cpuacct.usage_percpu")
	if len(text) == 0 {
		return 0, nil // only cgroups of version 1 tell
	}
	fields := strings.Fields(string(text))
	if core >= len(fields) {
		return 0, fmt.Errorf("cpuacct.usage_percpu has %d cores", len(fields))
	}
	ns, err := strconv.ParseInt(fields[core], 10, 64)
	return time.Duration(ns), err
}

// coreIdle is how long a core has been idle, to the nanosecond from
// /proc/timer_list or else to 10 ms from /proc/stat.
func coreIdle(core int) (time.Duration, error) {
	if text, err := os.ReadFile("/proc/timer_list"); err == nil {
		if idle, ok := idleSleepTime(string(text), core); ok {
			return idle, nil
		}
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return idleTicks(string(text), core)
}

func idleSleepTime(timers string, core int) (time.Duration, bool) {
	_, rest, found := strings.Cut(timers, fmt.Sprintf("\ncpu: %d\n", core))
	_, rest, ok := strings.Cut(rest, ".idle_sleeptime : ")
	number, _, _ := strings.Cut(rest, " ")
	ns, err := strconv.ParseInt(number, 10, 64)
	return time.Duration(ns), found && ok && err == nil
}

// clockTick is USER_HZ, which Linux has fixed at 100 towards programs.
const clockTick = time.Second / 100

// idleTicks adds what a core idled and what it waited for disks (proc_stat(5)).
func idleTicks(stat string, core int) (time.Duration, error) {
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[0] != fmt.Sprintf("cpu%d", core) {
			continue
		}
		idle, err1 := strconv.ParseInt(fields[4], 10, 64)
		wait, err2 := strconv.ParseInt(fields[5], 10, 64)
		return time.Duration(idle+wait) * clockTick, errors.Join(err1, err2)
	}
	return 0, fmt.Errorf("/proc/stat has no core %d", core)
}
