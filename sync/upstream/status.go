package upstream

import (
	"errors"
	"net/url"
	"time"

	"signalbox/sync/wire"
)

// Status is how the box stands with the cloud, for status pages and metrics.
type Status struct {
	Joined    bool
	Box       wire.BoxID
	URL       string // the one that is connected, or was last
	Connected bool
	Way       string    // websocket or post, "" while there is none
	Since     time.Time // of Connected, or that there is no connection

	Queue      uint64 // frames that the cloud has not applied
	QueueBytes int64  // what the outbox takes on disk, with what it keeps in case
	LimitBytes int64
	Newest     uint64 // sequence number of the newest frame
	Applied    uint64 // and of the newest that the cloud has applied
	Merged     uint64 // frames merged for want of room
	Lost       uint64 // changes left out for want of room

	// Fault is what was wrong last and what to do about it; "" once that is over.
	Fault   string
	FaultAt time.Time

	CertEnd     time.Time
	Skew        time.Duration // how far the box's clock is ahead of the cloud's
	SkewKnown   bool
	Level       string // of privacy, in force
	Policy      uint64 // revision in force, 0 for none
	PolicyFault string // why a newer one is not

	// BackupOn tells whether backups are brought to the cloud, BackupAt when it
	// had the newest by its clock, zero for none. BackupFault says why a newer one
	// is not there, since BackupFaultAt; "" when nothing is wrong.
	BackupOn      bool
	BackupAt      time.Time
	BackupBytes   int64 // of that one, sealed
	BackupFault   string
	BackupFaultAt time.Time

	Sent, Received uint64 // bytes, with TLS
	Written        uint64 // bytes written to disk
	Connects       uint64
}

// Status is a snapshot.
func (a *Agent) Status() Status {
	a.mu.Lock()
	s, m := a.status, a.member
	a.mu.Unlock()
	s.Sent, s.Received, s.Connects = a.meter.sent.Load(), a.meter.received.Load(), a.connects.Load()
	if m == nil {
		return s
	}
	st := m.outbox.Stats()
	s.Joined, s.Box, s.CertEnd = true, m.box, m.identity.CertEnd()
	s.Newest, s.Applied = st.Newest, st.Applied
	s.Queue = st.Newest - min(st.Applied, st.Newest)
	s.QueueBytes, s.LimitBytes, s.Merged, s.Lost, s.Written = st.UsedBytes, st.LimitBytes, st.Merged, st.Lost, st.WrittenBytes
	s.Skew, s.SkewKnown = m.identity.Skew()
	revision, _, fault := m.policy.facts()
	s.Policy, s.PolicyFault, s.Level = revision, string(fault), string(m.policy.level())
	return s
}

func (a *Agent) setMember(m *member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.member, a.status = m, Status{Level: a.cfg.Level, Since: time.Now()}
	if m == nil {
		a.veil.Store(nil)
		return
	}
	a.status.URL = m.endpoints()[0].String()
}

// reached notes that a way to the cloud is open.
func (a *Agent) reached(way string, endpoint *url.URL) {
	a.mu.Lock()
	a.status.Connected, a.status.Way, a.status.Since, a.status.URL = true, way, time.Now(), endpoint.String()
	a.status.Fault = ""
	a.mu.Unlock()
	poke(a.backedUp) // one that could not be brought before may be now
	a.log.Info("connected to the cloud", "remote", endpoint.Host, "reason", way)
}

// lost notes that there is no way to the cloud, and why. It is logged when a
// connection was lost, and then once an hour: a month without the cloud must not
// fill a log.
func (a *Agent) lost(err error) {
	if errors.Is(err, errTryAgain) {
		err = nil
	}
	a.mu.Lock()
	now, tell := time.Now(), err != nil && (a.status.Connected || time.Since(a.lossTold) >= lossEvery)
	if a.status.Connected {
		a.status.Since = now
	}
	a.status.Connected, a.status.Way = false, ""
	a.faultLocked(err)
	if tell {
		a.lossTold = now
	}
	a.mu.Unlock()
	if tell {
		a.log.Warn("no connection to the cloud; trying again", "err", err)
	}
}

const lossEvery = time.Hour

// trouble notes what is wrong while the connection goes on.
func (a *Agent) trouble(err error) {
	a.mu.Lock()
	before := a.status.Fault
	a.faultLocked(err)
	a.mu.Unlock()
	if before != err.Error() {
		a.log.Warn("trouble with the cloud", "err", err)
	}
}

// fault sets what is wrong; nil: nothing.
func (a *Agent) fault(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faultLocked(err)
}

func (a *Agent) faultLocked(err error) {
	if a.status.Fault = ""; err != nil {
		a.status.Fault, a.status.FaultAt = err.Error(), time.Now()
	}
}
