package appliance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/appliance/api"
	"signalbox/appliance/keys"
	"signalbox/appliance/signaling"
	"signalbox/appliance/store"
	"signalbox/sync/upstream"
	"signalbox/sync/wire"
)

// Names among the parts: the link to the cloud, and how the last upgrade went.
const (
	upstreamPart = "upstream"
	upgradePart  = "upgrade"
)

// buildUpstream makes the agent that reports to the cloud. It touches neither
// network nor disk before Run.
func (a *Appliance) buildUpstream(ctx context.Context) error {
	site, err := keys.Site(ctx, a.store)
	if err != nil {
		return err
	}
	cfg := a.cfg.Upstream
	cfg.Dir, cfg.SiteKey, cfg.Version, cfg.Logger = a.cfg.Data, site, a.cfg.Version, a.part(upstreamPart)
	cfg.Source, cfg.Commands, cfg.Controls, cfg.Archive = &reporter{Appliance: a}, remote{a}, remote{a}, a.store
	a.upstream, err = upstream.New(cfg)
	return err
}

// reportAfter leaves the first moments of a box to those who wait for it: there
// are certificates to read and a file to check.
const reportAfter = 500 * time.Millisecond

// reportLater runs the agent once the box serves.
func (a *Appliance) reportLater(ctx context.Context) error {
	<-a.ready // closed by Run whatever happens
	timer := time.NewTimer(reportAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return a.upstream.Run(ctx)
}

// observer passes on how clients fare.
type observer struct{ agent *upstream.Agent }

var observed = [...]wire.MetricID{
	signaling.StageJoin: wire.QualityJoinMs, signaling.StageAnswer: wire.QualityConnectMs, signaling.StageRoundTrip: wire.QualityRTTMs,
}

func (o observer) Took(stage signaling.Stage, took time.Duration) {
	o.agent.Took(observed[stage], took)
}

func (o observer) Seen(subject string) { o.agent.Saw(subject) }

// reporter is the box as the agent reports it.
type reporter struct {
	*Appliance

	mu      sync.Mutex
	bytes   uint64 // that the relay had relayed at the last look
	looked  time.Time
	bits    int64                // a second, since the look before
	created map[string]time.Time // rooms, by when they were seen first; zero: they were there before us
}

func (r *reporter) Sample() upstream.Sample {
	st, relay, file := r.signaling.Stats(), r.relay.Stats(), r.store.Stats()
	s := upstream.Sample{
		Name: r.cfg.Site.Name, Started: r.started, Backup: file.LastBackup, BackupFailures: file.BackupFailed,
		RelayFull:    relay.Refused[int(stun.CodeInsufficientCapacity)] - min(relay.RefusedDraining, relay.Refused[int(stun.CodeInsufficientCapacity)]),
		SessionsFull: st.Dropped["overload"], Recovered: rungs[r.store.Recovery().Rung],
		Counters: map[wire.MetricID]uint64{
			wire.SessionsOpened: st.Opened, wire.SessionsResumed: st.Resumed, wire.SessionsResumeRefused: st.ResumeFailed,
			wire.SessionsExpired: st.Expired, wire.SessionsClosedByBox: sum(st.Closed), wire.RoomsCreated: st.RoomsCreated, wire.RoomsClosed: st.RoomsClosed,
			wire.SignalingOffers: st.Frames["offer"], wire.SignalingAnswers: st.Frames["answer"], wire.SignalingCandidates: st.Frames["candidate"],
			wire.SignalingFrames: sum(st.Frames), wire.SignalingBytes: st.BytesIn, wire.SignalingRefused: sum(st.Refused),
			wire.SignalingRepeated: st.Dropped["repeated"], wire.SignalingDropped: sum(st.Dropped) - st.Dropped["repeated"],
			wire.RelayRefusedAuth: relay.RefusedCredentials, wire.RelayAllocationsMade: relay.Created, wire.RelayPackets: relay.ToPeers.Packets + relay.ToClients.Packets,
			wire.RelayBytesToPeers: relay.ToPeers.Bytes, wire.RelayBytesToClients: relay.ToClients.Bytes, wire.RelayDropped: sum(relay.Dropped),
			wire.StoreWrittenBytes: uint64(max(file.WrittenBytes, 0)),
		},
		Gauges: map[wire.MetricID]int64{
			wire.SessionsOnline: int64(st.Sessions - st.Suspended), wire.SessionsSuspended: int64(st.Suspended), wire.SessionsLimit: int64(r.cfg.Signaling.MaxSessions),
			wire.RoomsOpen: int64(st.Rooms), wire.RoomsMembers: int64(st.Members), wire.RelayAllocations: int64(relay.Allocations),
			wire.RelayBits: r.relayBits(relay.ToPeers.Bytes + relay.ToClients.Bytes), wire.StoreBytes: file.FileBytes - file.FreeBytes, wire.StoreLimitBytes: file.MaxBytes,
		},
	}
	if limit := int64(r.cfg.Turn.MaxBitRateTotal); limit > 0 {
		s.Gauges[wire.RelayLimitBits] = limit
	}
	if r.verdict.String() != "" {
		s.TakenBack = r.verdict.Time
	}
	for code, n := range relay.Refused {
		if id := refusals[stun.ErrorCode(code)]; id != 0 {
			s.Counters[id] += n
		}
	}
	for _, p := range (box{r.Appliance}).Parts() {
		if !p.OK && p.Name != upstreamPart && p.Name != upgradePart { // those have alerts of their own
			s.Unhealthy = append(s.Unhealthy, p.Name)
		}
	}
	return s
}

// refusals are the relay's error responses in the words of a frame. What is not
// here is part of every client's way in (RFC 8489 §9.2.4), a request without
// credentials or with an old nonce, or counted apart: one with wrong ones.
var refusals = map[stun.ErrorCode]wire.MetricID{
	stun.CodeWrongCredentials: wire.RelayRefusedAuth, stun.CodeAllocQuotaReached: wire.RelayRefusedQuota,
	stun.CodeForbidden: wire.RelayRefusedPolicy, stun.CodeInsufficientCapacity: wire.RelayRefusedCapacity,
	stun.CodeBadRequest: wire.RelayRefusedOther, stun.CodeUnknownAttribute: wire.RelayRefusedOther, stun.CodeAllocMismatch: wire.RelayRefusedOther,
	stun.CodeAddrFamilyNotSupported: wire.RelayRefusedOther, stun.CodeUnsupportedTransProto: wire.RelayRefusedOther,
	stun.CodePeerAddrFamilyMismatch: wire.RelayRefusedOther, stun.CodeServerError: wire.RelayRefusedOther,
}

// rungs number the store's ladder of recovery.
var rungs = map[store.Rung]int64{store.RungRepaired: 1, store.RungPrevious: 2, store.RungBackup: 3, store.RungEmpty: 4, store.RungCloud: 5}

func sum[K comparable](counts map[K]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// relayBits is the relay's rate since the look before, which was seconds ago.
func (r *reporter) relayBits(bytes uint64) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if since := now.Sub(r.looked); since >= time.Second/2 {
		if !r.looked.IsZero() {
			r.bits = int64(float64(bytes-r.bytes) * 8 / since.Seconds())
		}
		r.bytes, r.looked = bytes, now
	}
	return r.bits
}

// Rooms are told with when they were made, as far as this process has seen it.
func (r *reporter) Rooms() []wire.RoomFacts {
	views := r.signaling.Rooms()
	r.mu.Lock()
	defer r.mu.Unlock()
	before, now := r.created, time.Now()
	r.created = make(map[string]time.Time, len(views))
	list := make([]wire.RoomFacts, len(views))
	for i, v := range views {
		at, known := before[v.Name]
		if !known && before != nil {
			at = now
		}
		r.created[v.Name] = at
		list[i] = wire.RoomFacts{Name: v.Name, Members: len(v.Members), Created: at}
	}
	return list
}

// remote is what the cloud may do to the box.
type remote struct{ *Appliance }

// LogLevel follows a policy, or the configuration again.
func (r remote) LogLevel(level *slog.Level) {
	if level == nil {
		level = &r.cfg.Log.Level
	}
	r.level.Set(*level)
}

// Drain follows a policy. One that has nothing to say any more ends the draining
// that an earlier one began.
func (r remote) Drain(on *bool) error {
	relayed(r).Drain(on != nil && *on, false)
	return nil
}

// Run carries out a command.
func (r remote) Run(ctx context.Context, name string, args json.RawMessage) wire.Outcome {
	switch name {
	case "backup":
		if err := r.store.BackupNow(ctx); err != nil {
			return wire.OutcomeFailed
		}
	case "drain", "no-drain":
		relayed(r).Drain(name == "drain", false)
	case "end-allocation":
		var which struct {
			ID uint64 `json:"id"`
		}
		if err := json.Unmarshal(args, &which); err != nil || which.ID == 0 {
			return wire.OutcomeArguments
		}
		if !r.relay.End(which.ID) {
			return wire.OutcomeNotFound
		}
	case "restart":
		select {
		case <-r.restart:
		default:
			close(r.restart) // commands come one after the other
		}
	default:
		return wire.OutcomeUnknown
	}
	return wire.OutcomeDone
}

// ErrRestart is returned by Run when the box is to start anew, as it was
// started. Everything is closed then.
var ErrRestart = errors.New("the cloud has asked for a new start")

// stopToRestart returns ErrRestart once the cloud asks for it, and nil when the
// box stops before.
func (a *Appliance) stopToRestart(ctx context.Context) error {
	select {
	case <-a.restart:
		a.log.Info("box starts anew, as the cloud has asked")
		return ErrRestart
	case <-ctx.Done():
		return nil
	}
}

// upstreamStatus is the link as people see it.
func (b box) upstreamStatus() api.UpstreamStatus {
	st := b.upstream.Status()
	shown := api.UpstreamStatus{
		Joined: st.Joined, URL: st.URL, Connected: st.Connected, Way: st.Way, Level: st.Level, Policy: st.Policy, PolicyFault: st.PolicyFault,
		QueueFrames: st.Queue, QueueBytes: st.QueueBytes, QueueMaxBytes: st.LimitBytes, Newest: st.Newest, Applied: st.Applied,
		SentBytes: st.Sent, ReceivedBytes: st.Received, Fault: st.Fault,
	}
	if st.Joined {
		shown.Site, shown.Since, shown.CertificateEnd = st.Box.Site, &st.Since, &st.CertEnd
	}
	if st.Fault != "" {
		shown.FaultAt = &st.FaultAt
	}
	shown.Backup = api.CloudBackup{On: st.BackupOn, Bytes: st.BackupBytes, Fault: st.BackupFault}
	if !st.BackupAt.IsZero() {
		shown.Backup.At = &st.BackupAt
	}
	return shown
}

// graceful is how long a link may be away before it counts as ailing: a cloud
// that restarts is nobody's worry.
const graceful = 5 * time.Minute

// upstreamReason says what is wrong with the link, "" when nothing is.
func (b box) upstreamReason() string {
	st := b.upstream.Status()
	switch {
	case !st.Joined:
		return st.Fault
	case !st.Connected && time.Since(st.Since) > graceful:
		return fmt.Sprintf("no connection to the cloud since %s: %s", st.Since.UTC().Format(time.RFC3339), cmp.Or(st.Fault, "still trying"))
	case st.Connected:
		return st.Fault
	}
	return ""
}
