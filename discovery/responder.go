package discovery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// pollEvery is how often the interfaces are looked at. An address that
	// comes or goes is announced by then.
	pollEvery = 4 * time.Second
	// settleTime collects changes of the announcement: the records of a box may
	// not be multicast more than once a second (RFC 6762 §6).
	settleTime = time.Second
)

// Responder announces a box on every interface that its Config admits. Its
// methods may be called concurrently.
type Responder struct {
	cfg     Config
	id      identity
	changed chan struct{} // holds one: the announcement is another

	mu           sync.Mutex
	announcement *Announcement
	status       Status
}

// New checks the configuration and the announcement. No socket is opened before
// Run, because a network that is not there yet must not keep the box from starting.
func New(cfg Config, a Announcement) (*Responder, error) {
	cfg = cfg.withDefaults()
	a = a.clone()
	if err := errors.Join(cfg.Validate(), a.check()); err != nil {
		return nil, err
	}
	id := identity{instance: cfg.Name, hostname: cfg.Host + "." + domain + "."}
	if id.instance == "" {
		id.instance = defaultInstance(a.TXT[KeyID])
	}
	r := &Responder{cfg: cfg, id: id, changed: make(chan struct{}, 1), announcement: &a}
	r.status = Status{
		Enabled: cfg.Enabled, Instance: id.instance, Host: cfg.Host + "." + domain,
		Reason: "not started",
	}
	if !cfg.Enabled {
		r.status.Reason = "switched off by discovery.enabled"
	}
	return r, nil
}

// defaultInstance keeps the boxes of a LAN apart that nobody has named yet.
func defaultInstance(id string) string {
	name := "Signalbox " + id[:min(4, len(id))]
	if instanceFault(name) != "" || id == "" {
		return "Signalbox"
	}
	return name
}

// check reports what cannot be announced.
func (a Announcement) check() error {
	if a.Port == 0 {
		return errors.New("announced port is 0, want the port the box serves on")
	}
	return a.TXT.check()
}

// Update announces something else from now on, within two seconds. Nobody sees
// the box leave for it.
func (r *Responder) Update(a Announcement) error {
	a = a.clone()
	if err := a.check(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Port == r.announcement.Port && maps.Equal(a.TXT, r.announcement.TXT) {
		return nil
	}
	r.announcement = &a
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return nil
}

// Status tells where the box is announced, and why not elsewhere.
func (r *Responder) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	s.Interfaces = slices.Clone(s.Interfaces)
	return s
}

// Run announces until ctx is cancelled, then says goodbye on every interface
// and returns nil. Interfaces that fail are tried again for as long as it runs.
// Up to four seconds later the last goroutine of the zeroconf library has ended.
func (r *Responder) Run(ctx context.Context) error {
	if !r.cfg.Enabled {
		<-ctx.Done()
		return nil
	}
	links := make(map[int]*link)
	defer func() {
		var closing sync.WaitGroup
		for _, l := range links {
			closing.Go(func() { l.close(true) })
		}
		closing.Wait()
		r.stopped()
	}()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for ctx.Err() == nil {
		r.reconcile(links)
		select {
		case <-ctx.Done():
		case <-poll.C:
		case <-r.changed:
			select {
			case <-ctx.Done():
			case <-time.After(settleTime):
			}
		}
	}
	return nil
}

// reconcile makes the links, by interface index, match the interfaces there are.
func (r *Responder) reconcile(links map[int]*link) {
	found, err := Interfaces(r.cfg.Interfaces, r.cfg.IgnoreInterfaces)
	if err != nil {
		r.report(nil, err)
		return
	}
	r.mu.Lock()
	a := r.announcement
	r.mu.Unlock()
	present := make(map[int]bool)
	list := make([]InterfaceStatus, len(found))
	for i, iface := range found {
		present[iface.Index] = true
		list[i] = InterfaceStatus{Name: iface.Name, Index: iface.Index, Reason: iface.Reason}
		if iface.Reason != "" {
			r.leave(links, iface.Index)
		} else if err := r.cover(links, iface, a); err != nil {
			list[i].Reason, list[i].fault = err.Error(), true
		} else {
			list[i].Announced, list[i].Addrs = true, links[iface.Index].addrs()
		}
	}
	for index := range links {
		if !present[index] {
			r.leave(links, index)
		}
	}
	r.report(list, nil)
}

// cover announces a on the interface.
func (r *Responder) cover(links map[int]*link, iface Interface, a *Announcement) error {
	old := links[iface.Index]
	if old != nil && old.fits(iface) {
		return old.update(iface, a)
	}
	fresh, err := openLink(r.id, iface, a, r.cfg.Logger)
	if err != nil {
		return fmt.Errorf("%w; tried again every %v", err, pollEvery)
	}
	links[iface.Index] = fresh
	if old != nil {
		old.close(false)
	}
	return nil
}

// leave stops announcing on the interface.
func (r *Responder) leave(links map[int]*link, index int) {
	if l := links[index]; l != nil {
		l.close(true)
		delete(links, index)
	}
}

// report publishes the status and logs what is new in it. err says why the
// interfaces are not known.
func (r *Responder) report(list []InterfaceStatus, err error) {
	r.mu.Lock()
	old := r.status
	r.status.Interfaces = list
	r.status.explain()
	if err != nil {
		r.status.Reason = err.Error()
	}
	now := r.status
	r.mu.Unlock()
	now.logChanges(old, r.cfg.Logger)
}

// stopped publishes that the box is announced no longer.
func (r *Responder) stopped() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Interfaces, r.status.Announced, r.status.Reason = nil, false, "stopped"
}
