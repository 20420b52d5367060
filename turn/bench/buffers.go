//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

const (
	maxBufferSetting = "/proc/sys/net/core/rmem_max"
	wantedBuffer     = 4 << 20 // bytes, what our relay asks for
)

// allowBuffers has the kernel give sockets the receive buffers that they ask
// for. note says what was done, if anything, and restore undoes it.
func allowBuffers() (note string, restore func() error, err error) {
	text, err := os.ReadFile(maxBufferSetting)
	if err != nil {
		return "", nil, err
	}
	before := strings.TrimSpace(string(text))
	most, err := strconv.Atoi(before)
	if err != nil {
		return "", nil, fmt.Errorf("%s is %q", maxBufferSetting, before)
	}
	if most >= wantedBuffer {
		return "", func() error { return nil }, nil
	}
	if err := os.WriteFile(maxBufferSetting, []byte(strconv.Itoa(wantedBuffer)), 0); err != nil {
		return "", nil, fmt.Errorf("raise net.core.rmem_max from %d, so that our relay gets the buffers it asks for: %w", most, err)
	}
	return fmt.Sprintf("net.core.rmem_max was raised from %d to %d for the time of the measurement.", most, wantedBuffer),
		func() error { return os.WriteFile(maxBufferSetting, []byte(before), 0) }, nil
}
