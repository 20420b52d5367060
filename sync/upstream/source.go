package upstream

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"signalbox/sync/wire"
)

// Source tells what the box is doing. It is asked every ten seconds at most,
// and once a minute of an idle box.
type Source interface {
	Sample() Sample
	// Rooms are the open rooms; asked once for each frame.
	Rooms() []wire.RoomFacts
}

// Sample is the state of the box's parts at one moment. What the machine as a
// whole does, the agent looks for itself.
type Sample struct {
	Counters map[wire.MetricID]uint64 // since the process began
	Gauges   map[wire.MetricID]int64
	// Unhealthy are parts that are not well, by name.
	Unhealthy []string
	// Refused are allocations and sign-ins refused for want of room since the
	// process began.
	RelayFull, SessionsFull uint64
	Recovered               int64 // the rung of the ladder that the store was recovered by, 0 for none

	// TakenBack is when an upgrade failed and the version before was put back; zero: none has.
	TakenBack time.Time

	Name    string // what people call the box
	Started time.Time
	Backup  time.Time // newest backup, zero for none
	// BackupFailures counts since the process began.
	BackupFailures uint64
}

// Commands are what the cloud may ask of the box. Run carries one out and says
// how it ended; a restart begins after Run has returned.
type Commands interface {
	Run(ctx context.Context, name string, args json.RawMessage) wire.Outcome
}

// Controls are what a policy may set beside what is the agent's own. Both are
// called again with each policy, and once more when the process has restarted.
type Controls interface {
	// LogLevel sets the level of the log; nil: what the configuration says.
	LogLevel(level *slog.Level)
	// Drain has the relay take no new allocations, or take them; nil: it is the
	// box's own business again.
	Drain(on *bool) error
}
