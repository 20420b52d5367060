package discovery

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
)

// Status is the health of a Responder.
type Status struct {
	Enabled    bool              `json:"enabled"`
	Announced  bool              `json:"announced"`        // on one interface at least
	Reason     string            `json:"reason,omitempty"` // why not announced
	Instance   string            `json:"instance"`
	Host       string            `json:"host"` // with .local
	Interfaces []InterfaceStatus `json:"interfaces"`
}

// InterfaceStatus is the health of a Responder on one interface.
type InterfaceStatus struct {
	Name      string       `json:"name"`
	Index     int          `json:"index"`
	Announced bool         `json:"announced"`
	Reason    string       `json:"reason,omitempty"` // why not announced
	Addrs     []netip.Addr `json:"addrs"`            // what the host name resolves to there

	fault bool // Reason is a fault, not a decision
}

// explain sets Announced and, when it is false, Reason.
func (s *Status) explain() {
	s.Announced, s.Reason = false, ""
	var reasons []string
	for _, i := range s.Interfaces {
		if i.Announced {
			s.Announced = true
			return
		}
		reasons = append(reasons, i.Name+": "+i.Reason)
	}
	s.Reason = "no network interface to announce on"
	if len(reasons) > 0 {
		s.Reason += " (" + strings.Join(reasons, "; ") + ")"
	}
}

// logChanges tells what is new since the status before: a fault once, not at
// every look at the interfaces.
func (s *Status) logChanges(old Status, log *slog.Logger) {
	for _, i := range s.Interfaces {
		was := old.of(i.Index)
		switch {
		case i.Announced && !was.Announced:
			log.Info("box announced", "interface", i.Name, "addrs", i.Addrs)
		case i.fault && i.Reason != was.Reason:
			log.Warn("box cannot be announced", "interface", i.Name, "reason", i.Reason)
		case !i.Announced && was.Announced:
			log.Info("box no longer announced", "interface", i.Name, "reason", i.Reason)
		}
	}
	for _, was := range old.Interfaces {
		if was.Announced && s.of(was.Index).Name == "" {
			log.Info("box no longer announced", "interface", was.Name, "reason", "the interface is gone")
		}
	}
	if !s.Announced && s.Reason != old.Reason {
		log.Warn("box is not announced on any interface", "reason", s.Reason)
	}
}

// of is the status of the interface with that index, the zero one for none.
func (s *Status) of(index int) InterfaceStatus {
	at := slices.IndexFunc(s.Interfaces, func(i InterfaceStatus) bool { return i.Index == index })
	if at < 0 {
		return InterfaceStatus{}
	}
	return s.Interfaces[at]
}
