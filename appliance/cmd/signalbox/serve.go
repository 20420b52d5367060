package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"signalbox/appliance"
	"signalbox/appliance/config"
	"signalbox/systemd"
)

type serveCommand struct {
	serveFlags
	ReadyJSON bool `name:"ready-json" help:"Once the box serves, print the addresses it bound as one line of JSON."`
	CallLink  bool `help:"Once the box serves, print a link to a test call, for two browsers."`
}

func (c *serveCommand) Run(p *program) error {
	quiet()
	spareProcessor(p)
	good := newLastGood(p, c.sources(p))
	loaded, fault, err := good.load(c.sources(p))
	if err != nil {
		return err
	}
	cfg := loaded.Config
	cfg.Version = p.version
	cfg.Runtime = p.getenv("RUNTIME_DIRECTORY") // of a service (systemd.exec(5))
	if cfg.HTTP.Handed, err = systemd.Listeners(p.getenv); err != nil {
		return err
	}
	done := takeTime(p, askForTime)
	box, err := appliance.New(cfg)
	done()
	if err != nil {
		return err
	}
	if cfg.Runtime != "" {
		box.ShowSetup(cfg.Runtime)
	}
	if fault != nil {
		_, _ = box.Reload(cfg, fault) // for the log and the status
	}
	service, err := newService(p, box, box.Log(), func() error { return c.reload(p, box) })
	if err != nil {
		box.Close()
		return err
	}
	ctx, stop := context.WithCancel(p.ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer stop() // a drained box ends without a fault
		return box.Run(ctx)
	})
	g.Go(func() error {
		return service.run(ctx, func(ctx context.Context) error {
			if fault == nil {
				if err := good.keep(); err != nil {
					box.Log().Warn("the configuration is not kept for a start with a broken one", "component", "config", "err", err)
				}
			}
			return c.announce(ctx, p, cfg, box)
		})
	})
	if err := g.Wait(); !errors.Is(err, appliance.ErrRestart) {
		return err
	}
	return startAnew(p)
}

// startAnew has the process begin again with the same arguments, and a program
// that was installed meanwhile. It returns only when that fails, or when there
// is a service manager: that starts it again, and hands the sockets over anew.
func startAnew(p *program) error {
	if systemd.NewNotifier(p.getenv).Present() {
		return nil
	}
	path, err := os.Executable()
	if err == nil {
		err = syscall.Exec(path, os.Args, p.environ)
	}
	return fmt.Errorf("start anew: %w", err)
}

// reload reads the configuration from where it came from when the box started.
func (c *serveCommand) reload(p *program, box *appliance.Appliance) error {
	loaded, err := config.Load(c.sources(p))
	next := config.Config{}
	if err == nil {
		next = loaded.Config
	}
	_, err = box.Reload(next, err)
	return err
}

// announce tells people on standard error, and programs on standard output,
// that the box serves and where.
func (c *serveCommand) announce(ctx context.Context, p *program, cfg config.Config, box *appliance.Appliance) error {
	links := []heading{{"open", box.BaseURLs()}}
	setup, err := box.SetupLink(ctx)
	if err != nil {
		return err
	}
	if setup != "" {
		links = append(links, heading{"set up, once, within half an hour", []string{setup}})
	}
	if c.CallLink {
		calls, err := box.CallLinks(ctx)
		if err != nil {
			return err
		}
		links = append(links, heading{"test call, in two browser windows", calls})
	}
	fmt.Fprintf(p.stderr, "\nsignalbox %s serves\n", p.version)
	for _, l := range links {
		fmt.Fprintf(p.stderr, "\n%s\n  %s\n", l.text, strings.Join(l.urls, "\n  "))
	}
	fmt.Fprintln(p.stderr)
	if !c.ReadyJSON {
		return nil
	}
	return printReady(p, cfg, box.Addrs())
}

// heading is a use of the box and the links for it, the best first.
type heading struct {
	text string
	urls []string
}

// printReady writes the one line that scripts wait for.
func printReady(p *program, cfg config.Config, addrs appliance.Addrs) error {
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		return err
	}
	err = json.NewEncoder(p.stdout).Encode(struct {
		HTTP    []string `json:"http"`
		HTTPS   []string `json:"https"`
		TURN    []string `json:"turn"`
		TURNS   []string `json:"turns"`
		Data    string   `json:"data"`
		Version string   `json:"version"`
	}{addrs.HTTP, addrs.HTTPS, addrs.TURN, addrs.TURNS, data, p.version})
	if err != nil {
		return fmt.Errorf("say that the box serves: %w", err)
	}
	return nil
}
