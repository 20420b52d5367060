package upgrade

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Systemctl is systemd, by its command.
type Systemctl struct{}

// systemctlTimeout is for a stop that has to wait for the service to drain.
const systemctlTimeout = 60 * time.Second

// State asks for the unit's properties.
func (Systemctl) State(ctx context.Context, unit string) (State, error) {
	out, err := systemctl(ctx, "show", unit, "--property="+
		"ActiveState,Job,MainPID,NRestarts,WatchdogUSec,WatchdogTimestampMonotonic,Result,ExecMainStatus")
	if err != nil {
		return State{}, err
	}
	props := map[string]string{}
	for line := range strings.Lines(out) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			props[key] = value
		}
	}
	down := props["ActiveState"] == "inactive"
	job := props["Job"] != "" && props["Job"] != "0"
	s := State{
		Active:  props["ActiveState"] == "active" || props["ActiveState"] == "reloading",
		Stopped: down && !job && props["Result"] == "success",
		Queued:  down && job,
		Result:  props["Result"] + ", status " + props["ExecMainStatus"],
	}
	s.PID, _ = strconv.Atoi(props["MainPID"]) // 0 while there is none
	s.Restarts, _ = strconv.Atoi(props["NRestarts"])
	s.Watchdog = span(props["WatchdogUSec"])
	if fed, err := strconv.ParseInt(props["WatchdogTimestampMonotonic"], 10, 64); err == nil {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return State{}, fmt.Errorf("read the clock: %w", err)
		}
		s.Fed = time.Duration(now.Nano()) - time.Duration(fed)*time.Microsecond
	}
	return s, nil
}

// Judged reports whether a trial of the unit's program would be judged: systemd
// runs the machine, and the unit runs or starts with it. An error says no.
func (Systemctl) Judged(ctx context.Context, unit string) bool {
	out, err := systemctl(ctx, "show", unit, "--property=ActiveState,UnitFileState")
	if err != nil {
		return false
	}
	for line := range strings.Lines(out) {
		switch strings.TrimSpace(line) {
		case "ActiveState=active", "ActiveState=reloading", "ActiveState=activating", "UnitFileState=enabled", "UnitFileState=enabled-runtime":
			return true
		}
	}
	return false
}

// span reads a time span as systemctl shows it, "1min 30s"; 0 for none.
func span(text string) time.Duration {
	var sum time.Duration
	for word := range strings.FieldsSeq(text) {
		d, err := time.ParseDuration(strings.Replace(word, "min", "m", 1))
		if err != nil {
			return 0
		}
		sum += d
	}
	return sum
}

// Stop stops the unit and waits for it.
func (Systemctl) Stop(ctx context.Context, unit string) error {
	_, err := systemctl(ctx, "stop", unit)
	return err
}

// Start starts the unit and does not wait until it is ready.
func (Systemctl) Start(ctx context.Context, unit string) error {
	if _, err := systemctl(ctx, "reset-failed", unit); err != nil {
		return err
	}
	_, err := systemctl(ctx, "start", "--no-block", unit)
	return err
}

func systemctl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, systemctlTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
