package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// releaseProgram lets go of the pages of the program's own file. What a start
// runs once, of every part that is compiled in, is most of them; an idle box
// gets the few that it goes on using back by page faults that read no disk, as
// long as the kernel has the file in its cache. Only pages that nobody can write
// are let go of, so nothing is lost by it.
func releaseProgram() error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		from, to, ok := readOnly(lines.Text(), self)
		if !ok {
			continue
		}
		if _, _, fault := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); fault != 0 {
			return fmt.Errorf("madvise %x-%x: %w", from, to, fault)
		}
	}
	return nil
}

// readOnly is the range of a line of proc_pid_maps(5), if it maps a file so that
// it cannot be written.
func readOnly(line, file string) (from, to uintptr, ok bool) {
	// 00400000-01f2e000 r-xp 00000000 08:01 656421   /usr/bin/signalbox
	var mode, offset, device string
	var inode uint64
	if n, _ := fmt.Sscanf(line, "%x-%x %s %s %s %d", &from, &to, &mode, &offset, &device, &inode); n != 6 {
		return 0, 0, false
	}
	return from, to, inode != 0 && strings.HasSuffix(line, " "+file) && (mode == "r-xp" || mode == "r--p")
}
