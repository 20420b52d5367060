package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/provision"
	"signalbox/appliance/upgrade"
)

// installedBox is the service of this machine.
type installedBox struct {
	boxFlags
	p *program
}

func (b installedBox) status(ctx context.Context) (api.Status, error) { return b.ask(ctx, b.p) }

func (installedBox) restart(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "systemctl", "restart", upgrade.Installed().Unit).CombinedOutput()
	if err != nil {
		return fmt.Errorf("start the box: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// join is a process of its own, as joining ends as the owner of the box's
// folder. Its arguments are in view of everybody, its standard input is not.
func (b installedBox) join(ctx context.Context, how provision.Join) ([]byte, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := b.arguments("join", how.URL, "--token-file", "/dev/stdin", "--ca", how.CA)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(how.Token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return out, nil
}

func (b installedBox) invite(ctx context.Context, ttl time.Duration) (string, error) {
	var made api.InviteCreated
	box, err := b.running(b.p)
	err = with(box, err, func(box *client) error {
		in := api.InviteCreate{Kind: "admin", TTL: int64(ttl.Seconds()), Note: "provisioning file"}
		return box.call(ctx, http.MethodPost, "/v1/invites", in, &made)
	})
	_, fragment, _ := strings.Cut(made.URL, "#")
	return fragment, err
}
