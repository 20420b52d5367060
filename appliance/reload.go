package appliance

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/config"
)

// reload is what became of the last look at the configuration after the start.
type reload struct {
	mu      sync.Mutex
	at      time.Time // zero: there was none
	problem string    // why the configuration as it is now is not in force
	restart []string  // keys whose new values wait for a restart
}

// Reload puts the parts of next into force that can change while the box runs:
// the level of the log, the peers of the relay; and reads the files that the
// configuration names again. What else has changed waits for a restart, and is
// returned. With the fault that reading next has ended in, all stays as it is.
// Faults and what waits are in Status, too, until the next call.
func (a *Appliance) Reload(next config.Config, fault error) (waiting []string, err error) {
	a.reload.mu.Lock()
	defer a.reload.mu.Unlock()
	a.reload.at, a.reload.problem = time.Now(), ""
	if fault == nil {
		fault = a.relay.SetPeerRules(next.Turn.AllowPeers, next.Turn.DenyPeers)
	}
	if fault != nil {
		a.reload.problem = oneLine(fault)
		a.log.Error("the configuration was not reloaded, the one before stays in force", "component", "config", "err", a.reload.problem)
		return slices.Clone(a.reload.restart), fmt.Errorf("the configuration was not reloaded, the one before stays in force: %w", fault)
	}
	a.level.Set(next.Log.Level)
	a.trust.Refresh() // issuers' keys and the relay's secrets are looked at within seconds by themselves
	a.reload.restart = config.Changed(a.asked, next, live...)
	a.log.Info("configuration reloaded", "component", "config")
	if len(a.reload.restart) > 0 {
		a.log.Warn("part of the new configuration waits for a restart", "component", "config", "reason", strings.Join(a.reload.restart, ", "))
	}
	return slices.Clone(a.reload.restart), nil
}

// live are the keys that Reload puts into force.
var live = []string{"log.level", "turn.allow_peers", "turn.deny_peers"}

// oneLine is every fault of a configuration, for a status of one line.
func oneLine(err error) string {
	if problems, ok := errors.AsType[config.Problems](err); ok {
		texts := make([]string, len(problems))
		for i, p := range problems {
			texts[i] = p.String()
		}
		return strings.Join(texts, "; ")
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// status is what Status and Parts say about the configuration.
func (r *reload) status() (s api.ConfigStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() {
		at := r.at.UTC()
		s.Reloaded = &at
	}
	s.Problem, s.Restart = r.problem, append([]string{}, r.restart...)
	return s
}
