package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/config"
	"signalbox/appliance/provision"
	"signalbox/appliance/upgrade"
)

// provisionCommand is what signalbox-provision.service runs at each start of the
// machine.
type provisionCommand struct {
	boxFlags
	File string `arg:"" optional:"" help:"The file; without it the mounted media are looked through."`
}

// appliedName is of the record that remembers the file that was taken, for media that cannot be written.
const appliedName = "provisioned"

// provisionWait bounds the whole, network included.
const provisionWait = 3 * time.Minute

func (c *provisionCommand) Run(p *program) error {
	path := c.File
	if path == "" {
		if path = provision.Find(provision.Places()); path == "" {
			return nil
		}
	}
	file, text, err := provision.Read(path)
	sum := sha256.Sum256(text)
	mark := filepath.Join(upgrade.Installed().Dir, appliedName)
	if known, readErr := os.ReadFile(mark); readErr == nil && strings.TrimSpace(string(known)) == hex.EncodeToString(sum[:]) {
		return nil // taken at an earlier start
	}
	var said strings.Builder
	fmt.Fprintf(&said, "%s, %s\n", path, time.Now().UTC().Format(time.RFC3339))
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	} else {
		ctx, cancel := context.WithTimeout(p.ctx, provisionWait)
		defer cancel()
		err = c.apply(ctx, p, file, &said)
	}
	if err != nil {
		fmt.Fprintf(&said, "FAILED: %v\n", err)
	} else {
		err = remember(mark, hex.EncodeToString(sum[:]))
		said.WriteString("done\n")
	}
	fmt.Fprint(p.stderr, withoutLinks(said.String()))
	return errors.Join(err, c.leave(path, said.String(), err == nil))
}

// withoutLinks is for the journal: whoever reads that is no administrator yet, and
// has no business with the recovery code.
func withoutLinks(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if base, _, ok := strings.Cut(line, "#"); ok {
			line = base + "#…\n"
		} else if base, _, ok := strings.Cut(line, recoveryLabel); ok {
			line = base + recoveryLabel + " …\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// apply does what the file asks for, in the order in which one needs the other.
func (c *provisionCommand) apply(ctx context.Context, p *program, file provision.File, said *strings.Builder) error {
	s, err := c.ready(ctx, p)
	if err != nil {
		return err
	}
	if !s.SetupNeeded || s.Upstream.Joined {
		return errors.New("the box is set up already; the file is for new ones and was not used")
	}
	if len(file.Config) > 0 {
		if err := c.configure(ctx, file); err != nil {
			return err
		}
		said.WriteString("the configuration is written\n")
		if s, err = c.ready(ctx, p); err != nil {
			return err
		}
	}
	if file.Join.URL != "" {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		// A process of its own: joining ends as the owner of the box's folder.
		out, err := exec.CommandContext(ctx, program, "join", file.Join.URL, "--token", file.Join.Token, "--ca", file.Join.CA).CombinedOutput()
		if err != nil {
			return fmt.Errorf("join %s: %w: %s", file.Join.URL, err, strings.TrimSpace(string(out)))
		}
		said.Write(out)
	}
	if file.Admin.Link {
		return c.invite(ctx, p, file.Admin.For, s, said)
	}
	return nil
}

// ready waits until the box serves.
func (c *provisionCommand) ready(ctx context.Context, p *program) (api.Status, error) {
	for {
		s, err := c.ask(ctx, p)
		if err == nil && s.Ready {
			return s, nil
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return s, errors.Join(errors.New("the box does not serve"), err)
		}
	}
}

// configure writes the configuration file, once it is known to be good, and has
// the service start with it.
func (c *provisionCommand) configure(ctx context.Context, file provision.File) error {
	path := c.Config
	if path == "" {
		path = config.DefaultFile
	}
	if mine, err := provision.Untouched(path); err != nil || !mine {
		return errors.Join(err, fmt.Errorf("%s has settings already, and [config] was not used", path))
	}
	text, err := file.ConfigText()
	if err != nil {
		return err
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o644); err != nil {
		return err
	}
	if _, err := config.Load(config.Sources{File: temp, KeyFiles: true}); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "systemctl", "restart", upgrade.Installed().Unit).CombinedOutput(); err != nil {
		return fmt.Errorf("start the box with its new configuration: %w: %s", err, out)
	}
	return nil
}

// invite makes the link for the first administrator, on each address by which a
// browser may reach the box.
func (c *provisionCommand) invite(ctx context.Context, p *program, ttl time.Duration, s api.Status, said *strings.Builder) error {
	box, err := c.running(p)
	return with(box, err, func(box *client) error {
		var made api.InviteCreated
		in := api.InviteCreate{Kind: "admin", TTL: int64(ttl.Seconds()), Note: "provisioning file"}
		if err := box.call(ctx, http.MethodPost, "/v1/invites", in, &made); err != nil {
			return fmt.Errorf("make the link for the administrator: %w", err)
		}
		_, fragment, _ := strings.Cut(made.URL, "#")
		fmt.Fprintf(said, "become administrator, once, within %s, at one of\n", ttl)
		for _, base := range secureBases(s.HTTPS) {
			fmt.Fprintf(said, "  %s/#%s\n", base, fragment)
		}
		return nil
	})
}

// secureBases are the addresses of the box for HTTPS, by name and by number.
func secureBases(listening []string) []string {
	hosts := []string{"signalbox.local"}
	addrs, _ := net.InterfaceAddrs() // none: the name is left
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() && prefix.Addr().IsGlobalUnicast() {
			hosts = append(hosts, prefix.Addr().String())
		}
	}
	var bases []string
	for _, at := range listening {
		ap, err := netip.ParseAddrPort(at)
		if err != nil || !ap.Addr().IsUnspecified() {
			continue
		}
		for _, host := range hosts {
			if ap.Port() != 443 {
				host = fmt.Sprintf("%s:%d", host, ap.Port())
			}
			bases = append(bases, "https://"+host)
		}
	}
	return bases
}

func remember(mark, sum string) error {
	if err := os.MkdirAll(filepath.Dir(mark), 0o755); err != nil {
		return err
	}
	return os.WriteFile(mark, []byte(sum+"\n"), 0o600)
}

// leave writes what has happened beside the file, and gives the file another
// name, so that a token or a password does not stay in view of the next start.
func (c *provisionCommand) leave(path, text string, used bool) error {
	base := strings.TrimSuffix(path, ".toml")
	err := os.WriteFile(base+".result.txt", []byte(strings.ReplaceAll(text, "\n", "\r\n")), 0o600) // read on a laptop of any kind
	if err == nil && used {
		err = os.Rename(path, base+".done.toml")
	}
	if err != nil {
		return fmt.Errorf("the result is in the journal alone, the medium cannot be written: %w", err)
	}
	return nil
}
