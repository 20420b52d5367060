//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// profile has perf record the server's core while a cell is measured, if that
// was asked for. The file has the names of the server and the cell at its end;
// later rounds replace it. stop waits until it is written.
func (b *bench) profile(ctx context.Context, c contestant, cell cell) (stop func() error) {
	if b.perf == "" {
		return func() error { return nil }
	}
	name := strings.NewReplacer(", ", "-", " ", "").Replace(cell.String())
	file := b.perf + "." + c.name + "." + name
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, "perf", "record", "-g", "-e", "cpu-clock", "-F", "999",
		"-C", strconv.Itoa(b.serverCore), "-o", file,
		"sleep", strconv.FormatFloat(b.lasts.Seconds(), 'f', 3, 64))
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	return func() error {
		if err == nil {
			err = cmd.Wait()
		}
		if err != nil {
			return fmt.Errorf("perf record: %w: %s", err, output.Bytes())
		}
		return nil
	}
}
