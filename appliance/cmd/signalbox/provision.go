package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	File string `arg:"" optional:"" help:"The file; without it the boot partition and the mounted media are looked through."`
}

// Bounds, network included. The unit's TimeoutStartSec is above their sum.
const (
	provisionWait = 3 * time.Minute
	trialWait     = 45 * time.Second // for a box to serve with a new configuration
	backWait      = time.Minute      // for one that serves with the configuration before
	joinAgain     = 10 * time.Second
	askAgain      = 500 * time.Millisecond
)

func (c *provisionCommand) Run(p *program) error {
	box := installedBox{c.boxFlags, p}
	one := &provisioning{
		box: box, state: upgrade.Installed().Dir, config: c.Config,
		trial: trialWait, again: joinAgain,
	}
	if one.config == "" {
		one.config = config.DefaultFile
	}
	ctx, cancel := context.WithTimeout(p.ctx, provisionWait)
	defer cancel()
	if err := one.settle(ctx); err != nil {
		return err
	}
	medium := provision.Find(provision.Places())
	if c.File != "" {
		var err error
		if medium, err = provision.Open(c.File); err != nil {
			return err
		}
	}
	if medium == nil {
		return nil
	}
	said, err := one.run(ctx, medium)
	fmt.Fprint(p.stderr, withoutLinks(said))
	return errors.Join(err, medium.Close())
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

// provisioned is the box that is set up, and what can be done about it.
type provisioned interface {
	status(context.Context) (api.Status, error)
	// restart returns when the box has started, or has failed to.
	restart(context.Context) error
	join(context.Context, provision.Join) (said []byte, err error)
	// invite makes the code for the first administrator.
	invite(ctx context.Context, ttl time.Duration) (code string, err error)
}

// provisioning does what a file asks for. Every step may be the last one before
// a power cut; the next start goes on from there.
type provisioning struct {
	box    provisioned
	state  string // folder of the record, root's own
	config string // the box's configuration file

	trial, again time.Duration
}

// run returns what has happened, links included. That is on the medium as well,
// unless the error says otherwise.
func (o *provisioning) run(ctx context.Context, medium *provision.Medium) (string, error) {
	file, text, err := medium.Read()
	sum := sha256.Sum256(text)
	record := o.record()
	if record.Sum == hex.EncodeToString(sum[:]) && record.Done {
		return fmt.Sprintf("%s was used at an earlier start\n", medium.Path()), nil
	}
	if record.Sum != hex.EncodeToString(sum[:]) {
		record.Sum, record.Begun = hex.EncodeToString(sum[:]), false
	}
	var said strings.Builder
	fmt.Fprintf(&said, "%s, %s\n", medium.Path(), time.Now().UTC().Format(time.RFC3339))
	unwritable := medium.Reserve()
	if err != nil {
		err = fmt.Errorf("%s: %w", medium.Path(), err)
	} else {
		err = o.apply(ctx, file, &record, unwritable, &said)
	}
	switch {
	case err != nil:
		fmt.Fprintf(&said, "FAILED: %v\nThe file stays where it is, with what is secret in it.\n", err)
	case unwritable != nil:
		fmt.Fprintf(&said, "done; the medium cannot be written (%v), so the file stays on it and this is in the journal alone\n", unwritable)
	default:
		said.WriteString("done; the file is removed, as it may hold secrets\n")
	}
	if unwritable != nil {
		if err == nil {
			err = o.usedUp(record)
		}
		return said.String(), err
	}
	if left := medium.Leave(said.String()); left != nil { // a link that nobody has seen: the next start makes another
		return said.String(), errors.Join(err, fmt.Errorf("write the result: %w", left))
	}
	if err == nil && medium.Take() != nil {
		err = o.usedUp(record)
	}
	return said.String(), err
}

// usedUp remembers a file that could not be taken away.
func (o *provisioning) usedUp(record record) error {
	record.Done = true
	return o.remember(record)
}

// apply does what the file asks for, in the order in which one needs the other.
func (o *provisioning) apply(ctx context.Context, file provision.File, record *record, unwritable error, said *strings.Builder) error {
	s, err := o.ready(ctx)
	if err != nil {
		return err
	}
	if !s.SetupNeeded || s.Upstream.Joined && !record.Begun {
		return errors.New("the box is set up already; the file is for new ones and was not used")
	}
	if !record.Begun { // from now on a box that has joined has done so by this file
		record.Begun = true
		if err := o.remember(*record); err != nil {
			return err
		}
	}
	if len(file.Config) > 0 {
		if s, err = o.configure(ctx, file, record, s, said); err != nil {
			return err
		}
	}
	if file.Join.URL != "" && !s.Upstream.Joined {
		if err := o.join(ctx, file.Join, said); err != nil {
			return err
		}
	}
	if !file.Admin.Link {
		return nil
	}
	if unwritable != nil {
		return fmt.Errorf("no link is made, as it could not be written to the medium: %w", unwritable)
	}
	code, err := o.box.invite(ctx, file.Admin.For)
	if err != nil {
		return fmt.Errorf("make the link for the administrator: %w", err)
	}
	fmt.Fprintf(said, "become administrator, once, within %s, at one of\n", file.Admin.For)
	for _, base := range secureBases(s.HTTPS) {
		fmt.Fprintf(said, "  %s/#%s\n", base, code)
	}
	return nil
}

// join tries until the time is up: just after its start a machine may have no
// network yet.
func (o *provisioning) join(ctx context.Context, how provision.Join, said *strings.Builder) error {
	for {
		out, err := o.box.join(ctx, how)
		if err == nil {
			said.Write(out)
			return nil
		}
		select {
		case <-time.After(o.again):
		case <-ctx.Done():
			return fmt.Errorf("join %s: %w", how.URL, err)
		}
		if s, _ := o.box.status(ctx); s.Upstream.Joined { // only the answer was lost
			return nil
		}
	}
}

// ready waits until the box serves.
func (o *provisioning) ready(ctx context.Context) (api.Status, error) {
	for {
		s, err := o.box.status(ctx)
		if err == nil && s.Ready {
			return s, nil
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return s, errors.Join(errors.New("the box does not serve"), err)
		}
	}
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
