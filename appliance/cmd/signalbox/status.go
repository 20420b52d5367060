package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"signalbox/appliance/api"
)

type statusCommand struct {
	boxFlags
	relayFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Run fails when the box is not ready, so that scripts can ask.
func (c *statusCommand) Run(p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	box, err := c.running(p)
	return with(box, err, func(box *client) error {
		if asked, err := c.use(p, box, c.JSON); asked {
			return err
		}
		var s api.Status
		if err := box.call(p.ctx, http.MethodGet, "/v1/status", nil, &s); err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(p.stdout, s)
		} else {
			err = printStatus(p, s)
		}
		if err == nil && !s.Ready {
			err = fmt.Errorf("the box is not ready: %s", strings.Join(down(s.Parts), "; "))
		}
		return err
	})
}

func printStatus(p *program, s api.Status) error {
	t := newTable(p.stdout)
	t.row("box", s.ID+", site "+s.Site+", version "+s.Version)
	t.row("up", since(s.Started))
	t.row("http", strings.Join(s.HTTP, " "))
	t.row("https", strings.Join(s.HTTPS, " "))
	t.row("relay", relayText(s.Relay, s.HTTPS))
	t.row("discovery", discoveryText(s.Discovery))
	t.row("rooms", fmt.Sprintf("%d, %d members", s.Rooms, s.Members))
	t.row("sessions", fmt.Sprintf("%d, %d connected", s.Sessions, s.Conns))
	t.row("store", fmt.Sprintf("%s of %s in %s", bytesText(s.Store.Bytes), bytesText(s.Store.MaxBytes), s.Store.Path))
	t.row("cloud", upstreamText(s.Upstream))
	if s.Upstream.Joined && s.Upstream.Fault != "" {
		t.row("", s.Upstream.Fault)
	}
	if b := s.Upstream.Backup; b.On {
		t.row("backup", cloudBackupText(b.At, b.Bytes, b.Fault))
	}
	t.row("written", fmt.Sprintf("%s since the start, %s a day at that pace", bytesText(s.Store.WrittenBytes), bytesText(s.Store.WrittenPerDay)))
	if len(s.Config.Restart) > 0 {
		t.row("configuration", "new values wait for a restart: "+strings.Join(s.Config.Restart, ", "))
	}
	if s.Store.Recovery != "" {
		t.row("recovery", s.Store.Recovery)
	}
	if s.SetupNeeded {
		t.row("setup", "nobody administers this box yet; signalbox token invite --admin prints a link")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout)
	t = newTable(p.stdout, "PART", "STATE", "REASON")
	for _, part := range s.Parts {
		state := "ok"
		if !part.OK {
			state = "down"
		}
		t.row(part.Name, state, part.Reason)
	}
	return t.Flush()
}

// relayText names the relay's addresses; those for HTTPS carry TURN too.
func relayText(r api.RelayStatus, https []string) string {
	if !r.Enabled {
		return "off"
	}
	at := strings.Join(r.UDP, " ") + " (udp) " + strings.Join(r.TCP, " ") + " (tcp)"
	if slices.Equal(r.UDP, r.TCP) {
		at = strings.Join(r.UDP, " ") + " (udp and tcp)"
	}
	if secure := slices.Concat(r.TLS, https); len(secure) > 0 {
		at += " " + strings.Join(secure, " ") + " (tls)"
	}
	text := fmt.Sprintf("%s, %d allocations of %s, %s relayed", at, r.Allocations, plural(r.Users, "user"), bytesText(int64(r.Bytes)))
	switch {
	case r.Stopping:
		text += ", draining, then the box stops"
	case r.Draining:
		text += ", draining"
	}
	return text
}

func discoveryText(d api.DiscoveryStatus) string {
	if !d.Enabled {
		return "off"
	}
	var announced []string
	for _, i := range d.Interfaces {
		if i.Announced {
			announced = append(announced, i.Name)
		}
	}
	if len(announced) == 0 {
		return d.Instance + ", announced nowhere"
	}
	return d.Instance + " on " + strings.Join(announced, " ")
}

// upstreamText says how the box stands with the cloud, and what to do about it.
func upstreamText(u api.UpstreamStatus) string {
	if !u.Joined {
		if u.Fault != "" {
			return u.Fault
		}
		return "not joined; the cloud prints the command that joins this box"
	}
	text := "site " + u.Site + " at " + u.URL
	switch {
	case u.Connected:
		text += ", connected for " + since(*u.Since) + " by " + u.Way
	case u.Since != nil:
		text += ", not connected for " + since(*u.Since)
	}
	text += fmt.Sprintf(", %s to send, %s of %s kept", plural(int(u.QueueFrames), "report"), bytesText(u.QueueBytes), bytesText(u.QueueMaxBytes))
	if u.CertificateEnd != nil {
		text += ", certificate until " + u.CertificateEnd.Format("2006-01-02 15:04")
	}
	if u.PolicyFault != "" {
		text += ", newer policy not followed: " + u.PolicyFault
	}
	return text
}

// down names the parts that keep the box from being ready.
func down(parts []api.Part) []string {
	var names []string
	for _, part := range parts {
		if part.Required && !part.OK {
			names = append(names, part.Name+": "+part.Reason)
		}
	}
	return names
}
