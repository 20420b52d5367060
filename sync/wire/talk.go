package wire

import (
	"encoding/json"
	"time"
)

// The small documents that box and cloud exchange beside frames. All are JSON,
// at most MaxTalkBytes; unknown fields are ignored.

// MaxTalkBytes bounds a document of this file.
const MaxTalkBytes = 256 << 10

// Ask is what a box says on its AskSubject, when it connects, when it is nudged,
// and every five minutes, an idle box every fifteen: what it has, so that the answer is only what it lacks.
type Ask struct {
	Version     string    `json:"version"`
	Incarnation uint64    `json:"incarnation,string"`
	Oldest      uint64    `json:"oldest"` // sequence numbers that the outbox holds; Oldest > Newest: none
	Newest      uint64    `json:"newest"`
	Policy      uint64    `json:"policy"` // the revision it has
	Now         time.Time `json:"now"`
}

// Standing is the answer to Ask.
type Standing struct {
	Now time.Time `json:"now"` // the cloud's clock
	// Incarnation and Applied are what the projection of the node that answers
	// has: every frame up to Applied. An Incarnation that is not the asker's has
	// Applied of the asker's own, 0 if it is not known.
	Incarnation uint64    `json:"incarnation,string"`
	Applied     uint64    `json:"applied"`
	Newest      uint64    `json:"newest,omitempty"`   // the highest number of that incarnation that was seen
	Policy      *Policy   `json:"policy,omitempty"`   // when it is newer than the asker's
	Commands    []Command `json:"commands,omitempty"` // not expired and without a result
	Live        Seconds   `json:"live,omitempty"`     // as in Nudge
	Renew       bool      `json:"renew,omitempty"`    // ask for a new certificate now
}

// Nudge tells a box that something waits. It carries nothing that must not be
// lost: what it announces is in the next Standing as well.
type Nudge struct {
	Incarnation uint64  `json:"incarnation,string,omitempty"` // with Applied: the watermark, see Standing
	Applied     uint64  `json:"applied,omitempty"`
	Resync      uint64  `json:"resync,omitempty"` // send again from this sequence number on
	Ask         bool    `json:"ask,omitempty"`    // a policy or a command waits
	Live        Seconds `json:"live,omitempty"`   // publish Live each second for so long
}

// Seconds is a length of time.
type Seconds uint32

// Policy is the desired state of a box: what the central team wants, whatever
// the box's own configuration says. It is whole, never a difference; keys that
// it lacks are the box's own business.
type Policy struct {
	Revision uint64          `json:"revision"`
	Site     json.RawMessage `json:"site,omitempty"` // a PolicyDoc for every box of the site
	Box      json.RawMessage `json:"box,omitempty"`  // one for this box; its keys win
}

// PolicyDoc is what a policy may say. A key that a box does not know makes it
// keep what it has and report why.
type PolicyDoc struct {
	Level      string  `json:"level,omitempty"`       // privacy: minimal, default, named
	LogLevel   string  `json:"log_level,omitempty"`   // debug, info, warn, error
	FrameEvery Seconds `json:"frame_every,omitempty"` // 60 to 300
	UplinkBps  uint64  `json:"uplink_bps,omitempty"`  // cap of the link to the cloud, bits a second; 0 is the box's own
	RelayDrain *bool   `json:"relay_drain,omitempty"`
}

// Command asks a box to do something once. It is carried out at most once per
// ID, and not after Expires.
type Command struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"` // of CommandNames
	Args    json.RawMessage `json:"args,omitempty"`
	Expires time.Time       `json:"expires"`
}

// CommandNames are the commands there are: copy the state aside, end a relay
// allocation, stop taking allocations and take them again, write a report.
var CommandNames = []string{"backup", "end-allocation", "drain", "no-drain", "restart"}

// Live is what a box publishes each second while somebody watches.
type Live struct {
	At     time.Time         `json:"at"`
	Gauges map[uint32]int64  `json:"gauges"` // by metric id
	Counts map[uint32]uint64 `json:"counts"`
}
