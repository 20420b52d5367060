package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/config"
	"signalbox/appliance/upgrade"
)

// upgradeCommands are what packages and their services call; people look, and
// go back.
type upgradeCommands struct {
	Status   upgradeStatus   `cmd:"" default:"withargs" help:"Show how the last upgrade went (the default)."`
	Keep     upgradeKeep     `cmd:"" help:"Keep the installed program; packages do that before they replace it."`
	Watch    upgradeWatch    `cmd:"" help:"Judge the program on trial, and put the one before back if it fails; the service does that."`
	Rollback upgradeRollback `cmd:"" help:"Put the program of the version before back now."`
}

// stateLimit bounds a question to the box during an upgrade.
const stateLimit = 5 * time.Second

type upgradeStatus struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *upgradeStatus) Run(p *program) error {
	layout := upgrade.Installed()
	var s struct {
		Trial   *upgrade.Trial   `json:"trial,omitempty"`
		Verdict *upgrade.Verdict `json:"verdict,omitempty"`
	}
	trial, err := layout.ReadTrial()
	if err == nil {
		s.Trial = &trial
	} else if !errors.Is(err, upgrade.ErrNone) {
		return err
	}
	verdict, err := layout.ReadVerdict()
	if err == nil {
		s.Verdict = &verdict
	} else if !errors.Is(err, upgrade.ErrNone) {
		return err
	}
	if c.JSON {
		return printJSON(p.stdout, s)
	}
	if s.Trial != nil {
		fmt.Fprintf(p.stdout, "what is installed is on trial since %s; before it was version %s\n", s.Trial.Began.Local().Format(time.DateTime), s.Trial.From)
	}
	switch {
	case s.Verdict == nil && s.Trial == nil:
		fmt.Fprintln(p.stdout, "there was no upgrade yet")
	case s.Verdict == nil:
	case s.Verdict.Good:
		fmt.Fprintf(p.stdout, "version %s has passed its trial at %s; before it was %s\n", s.Verdict.To, s.Verdict.Time.Local().Format(time.DateTime), s.Verdict.From)
	default:
		fmt.Fprintln(p.stdout, s.Verdict)
	}
	return nil
}

type upgradeKeep struct{ boxFlags }

func (c *upgradeKeep) Run(p *program) error {
	layout := upgrade.Installed()
	kept, err := layout.Keep(upgrade.Before{
		Version: p.version, Cloud: c.upstream(p), Judged: upgrade.Systemctl{}.Judged(p.ctx, layout.Unit),
	})
	if err == nil && !kept {
		fmt.Fprintln(p.stderr, "signalbox: the installed program is on trial itself; the one before it stays the one to go back to")
	}
	return err
}

// upstream reports whether the box is connected to its cloud now.
func (c *upgradeKeep) upstream(p *program) bool {
	s, err := c.ask(p.ctx, p)
	if err != nil {
		return false
	}
	return s.Upstream.Connected
}

func (f boxFlags) ask(ctx context.Context, p *program) (s api.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, stateLimit)
	defer cancel()
	dir, _, err := f.locate(p)
	if err != nil {
		dir = config.Default().Data // a file that only the other version understands
	}
	box, err := dialBox(ctx, dir)
	return s, with(box, err, func(box *client) error { return box.call(ctx, http.MethodGet, "/v1/status", nil, &s) })
}

type upgradeWatch struct {
	boxFlags
	Hold     time.Duration `default:"60s" help:"How long the new program has to be well without a break."`
	Patience time.Duration `default:"60s" help:"How long it may be unwell."`
	Deaths   int           `default:"3" help:"How often it may end."`
}

func (c *upgradeWatch) Run(p *program) error {
	w := upgrade.Watcher{
		Layout: upgrade.Installed(), Manager: upgrade.Systemctl{}, Version: versionOf,
		Health: func(ctx context.Context, cloud bool) (string, error) { return c.health(ctx, p, cloud) },
		Hold:   c.Hold, Patience: c.Patience, Deaths: c.Deaths, Every: 2 * time.Second,
		Logger: config.Log{Format: config.FormatText}.Logger(p.stderr),
	}
	_, err := w.Watch(p.ctx)
	switch {
	case errors.Is(err, upgrade.ErrStopped):
		fmt.Fprintf(p.stderr, "signalbox: %v\n", err)
		return nil
	case errors.Is(err, upgrade.ErrNoTrial), p.ctx.Err() != nil:
		return nil //nolint:nilerr // there is nothing to watch, or no longer anybody who wants it
	}
	return err
}

// health fails for what keeps the box from being ready, and for the link to the
// cloud where there was one before.
func (c *upgradeWatch) health(ctx context.Context, p *program, cloud bool) (version string, err error) {
	s, err := c.ask(ctx, p)
	if err != nil {
		return "", err
	}
	if !s.Ready {
		return s.Version, errors.New(strings.Join(down(s.Parts), "; "))
	}
	if cloud && !s.Upstream.Connected {
		return s.Version, errors.New("it does not reach the cloud, which the version before did")
	}
	return s.Version, nil
}

// versionOf is what a program of ours calls itself, if it runs at all.
func versionOf(ctx context.Context, program string) string {
	ctx, cancel := context.WithTimeout(ctx, stateLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "version", "--json").Output()
	var v struct {
		Version string `json:"version"`
	}
	if err != nil || json.Unmarshal(out, &v) != nil || v.Version == "" {
		return upgrade.Unknown
	}
	return v.Version
}

type upgradeRollback struct{}

func (c *upgradeRollback) Run(p *program) error {
	layout := upgrade.Installed()
	var m upgrade.Manager
	if (upgrade.Systemctl{}).Judged(p.ctx, layout.Unit) {
		m = upgrade.Systemctl{}
	}
	verdict, err := layout.RollbackNow(p.ctx, m, versionOf, "somebody asked for it")
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stderr, verdict)
	if m == nil {
		fmt.Fprintf(p.stderr, "signalbox: %s is not in use here; restart what runs the program\n", layout.Unit)
	}
	return nil
}
