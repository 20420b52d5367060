package api

import (
	"time"

	"signalbox/appliance/auth"
)

func (a *API) getStatus(c *call) (any, error) {
	if c.who.Has(auth.RightAdmin) {
		return a.fullStatus(), nil
	}
	return a.summary(), nil
}

func (a *API) summary() Summary {
	known := a.cfg.Box.WellKnown()
	return Summary{
		ID: known.ID, Site: known.Site, Version: known.Version,
		Ready: ready(a.cfg.Box.Parts()), SetupNeeded: a.setupNeeded(),
	}
}

// fullStatus puts together what the box tells and what the API knows. Lists and
// counters a part left out are empty, never null.
func (a *API) fullStatus() Status {
	s := a.cfg.Box.Status()
	s.Parts = emptyList(a.cfg.Box.Parts())
	s.Ready, s.SetupNeeded = ready(s.Parts), a.setupNeeded()
	s.Started = s.Started.UTC()
	s.UptimeSeconds = int64(time.Since(s.Started).Seconds())
	for _, list := range []*[]string{&s.HTTP, &s.HTTPS, &s.Relay.UDP, &s.Relay.TCP, &s.Relay.TLS} {
		*list = emptyList(*list)
	}
	for _, counts := range []*map[string]uint64{
		&s.Signaling.Frames, &s.Signaling.Refused, &s.Signaling.Closed, &s.Signaling.Dropped, &s.Relay.Refused, &s.Relay.Dropped,
	} {
		if *counts == nil {
			*counts = map[string]uint64{}
		}
	}
	s.Config.Restart = emptyList(s.Config.Restart)
	s.Discovery.Interfaces = emptyList(s.Discovery.Interfaces)
	for i := range s.Discovery.Interfaces {
		s.Discovery.Interfaces[i].Addresses = emptyList(s.Discovery.Interfaces[i].Addresses)
	}
	return s
}

// setupNeeded is false when it cannot be found out: a store that fails shows up
// as a part, and the status that tells so must not fail with it. Strangers may
// ask as often as they like, so the store is asked only until the answer is no,
// which it then stays.
func (a *API) setupNeeded() bool {
	if a.claimed.Load() {
		return false
	}
	needed, err := a.cfg.Invites.NeedsSetup()
	if err != nil {
		a.log.Warn("setup state cannot be read", "err", err)
		return false
	}
	if !needed {
		a.claimed.Store(true)
	}
	return needed
}
