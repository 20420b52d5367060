package signaling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/room"
)

// maxName bounds display names, client names, keys and idempotency keys, in bytes.
const maxName = 64

// Config is the [signaling] section and what New needs beside it.
type Config struct {
	PingEvery          time.Duration `toml:"ping_every"`           // silence after which the box asks for life; 5s to 5m
	ResumeWindow       time.Duration `toml:"resume_window"`        // how long a session waits for its next socket
	JournalEvery       time.Duration `toml:"journal_every"`        // group commit of sessions; at most 250ms
	HelloTimeout       time.Duration `toml:"hello_timeout"`        // from handshake to hello
	WriteTimeout       time.Duration `toml:"write_timeout"`        // a socket that takes nothing for so long is cut
	MaxSessions        int           `toml:"max_sessions"`         // sockets at once; as many sessions again may wait
	SessionsPerSubject int           `toml:"sessions_per_subject"` // sessions of one subject, with and without a socket
	RoomsPerSession    int           `toml:"rooms_per_session"`    // rooms one session may be in
	RoomCapacity       int           `toml:"room_capacity"`        // members of a room that names no capacity
	FrameBytes         int           `toml:"frame_bytes"`          // one message from a client
	UnackedFrames      int           `toml:"unacked_frames"`       // frames kept per session
	UnackedBytes       int           `toml:"unacked_bytes"`        // and their bytes
	ControlRate        float64       `toml:"control_rate"`         // join, leave, presence, set per second
	NegotiationRate    float64       `toml:"negotiation_rate"`     // offer, answer, candidate … per second
	MessageRate        float64       `toml:"message_rate"`         // messages per second
	ByteRate           float64       `toml:"byte_rate"`            // bytes of frames per second
	ConnectRate        float64       `toml:"connect_rate"`         // handshakes per second from one address
	Origins            []string      `toml:"origins"`              // browser origins allowed; empty: any, since tokens are not cookies

	Authority Authority                                    `toml:"-"`
	ICE       func(local netip.Addr, id auth.Identity) ICE `toml:"-"` // ICE servers for a client of this local address
	Journal   Journal                                      `toml:"-"` // nil: sessions end with the process
	Rooms     RoomStore                                    `toml:"-"` // nil: rooms end with the process
	ResumeKey []byte                                       `toml:"-"` // 32 secret bytes that sign resume tokens; kept over restarts
	Box       string                                       `toml:"-"` // box id, the origin of room changes
	Epoch     uint64                                       `toml:"-"` // counts the box's starts
	Limits    room.Limits                                  `toml:"-"`
	Observer  Observer                                     `toml:"-"` // nil: nobody
	Logger    *slog.Logger                                 `toml:"-"`
}

// Authority says who a token speaks for.
type Authority interface {
	Verify(token string) (auth.Identity, error)
	Open(name string) (auth.Identity, error)
	IsRevoked(id auth.Identity) bool
}

// Journal keeps sessions over a crash. PutSessions returns when the records
// are on disk; a nil record deletes.
type Journal interface {
	PutSessions(ctx context.Context, changed map[string][]byte) error
	Sessions(each func(key string, record []byte) error) error
}

// RoomStore keeps rooms. The calls return when the change is on disk.
type RoomStore interface {
	Rooms() ([]room.Entry, room.Vector, error)
	PutRoom(ctx context.Context, e room.Entry, v room.Vector) error
}

// Observer is told how clients fare. Both methods are called under locks of the
// server, from many goroutines: they must be quick and call nothing of it.
type Observer interface {
	Took(stage Stage, took time.Duration)
	Seen(subject string) // a session of the subject has got a socket
}

// Stage is a part of a client's way to a call.
type Stage uint8

const (
	StageJoin      Stage = iota // from hello to the first room of a socket
	StageAnswer                 // from an offer passed on to its answer passed on
	StageRoundTrip              // from a ping of the box to its pong
)

// nobody is the observer of a server without one.
type nobody struct{}

func (nobody) Took(Stage, time.Duration) {}
func (nobody) Seen(string)               {}

// DefaultConfig is the section with nothing set.
func DefaultConfig() Config {
	return Config{
		PingEvery: 10 * time.Second, ResumeWindow: time.Minute, JournalEvery: 200 * time.Millisecond,
		HelloTimeout: 5 * time.Second, WriteTimeout: 2 * time.Second,
		MaxSessions: 10_000, SessionsPerSubject: 1000, RoomsPerSession: 16, RoomCapacity: 1000,
		FrameBytes: 64 << 10, UnackedFrames: 512, UnackedBytes: 512 << 10,
		ControlRate: 20, NegotiationRate: 200, MessageRate: 500, ByteRate: 4 << 20, ConnectRate: 50,
	}
}

// deadAfter is the silence that ends a socket: two asks missed.
func (c Config) deadAfter() time.Duration { return 2 * c.PingEvery }

// Validate reports every fault of the section.
func (c Config) Validate() error {
	var faults []error
	within := func(key string, got, low, high time.Duration) {
		if got < low || got > high {
			faults = append(faults, fmt.Errorf("signaling.%s: got %v, want %v to %v", key, got, low, high))
		}
	}
	number := func(key string, got, low, high float64) {
		if !(got >= low && got <= high) {
			faults = append(faults, fmt.Errorf("signaling.%s: got %v, want %v to %v", key, got, low, high))
		}
	}
	within("ping_every", c.PingEvery, time.Second, 5*time.Minute)
	within("resume_window", c.ResumeWindow, time.Second, 24*time.Hour)
	within("journal_every", c.JournalEvery, time.Millisecond, 250*time.Millisecond)
	within("hello_timeout", c.HelloTimeout, 100*time.Millisecond, time.Minute)
	within("write_timeout", c.WriteTimeout, 100*time.Millisecond, time.Minute)
	number("max_sessions", float64(c.MaxSessions), 1, 1<<20)
	number("sessions_per_subject", float64(c.SessionsPerSubject), 1, 1<<21)
	number("rooms_per_session", float64(c.RoomsPerSession), 1, 1024)
	number("room_capacity", float64(c.RoomCapacity), 1, 100_000)
	number("frame_bytes", float64(c.FrameBytes), 1<<10, 16<<20)
	number("unacked_frames", float64(c.UnackedFrames), 16, 1<<16)
	number("unacked_bytes", float64(c.UnackedBytes), float64(2*c.FrameBytes), 64<<20)
	number("control_rate", c.ControlRate, 1, 1e6)
	number("negotiation_rate", c.NegotiationRate, 1, 1e6)
	number("message_rate", c.MessageRate, 1, 1e7)
	number("byte_rate", c.ByteRate, float64(c.FrameBytes), 1e12)
	number("connect_rate", c.ConnectRate, 1, 1e6)
	for _, o := range c.Origins {
		if u, err := url.Parse(o); err != nil || u.Host == "" || u.Path != "" {
			faults = append(faults, fmt.Errorf(`signaling.origins: got %q, want an origin like "https://hmi.example"`, o))
		}
	}
	return errors.Join(faults...)
}

// allowOrigin holds a browser's origin against the list. A request without one
// is no browser's.
func (c *Config) allowOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || len(c.Origins) == 0 {
		return true
	}
	if u, err := url.Parse(origin); err == nil && strings.EqualFold(u.Host, r.Host) {
		return true // the box's own pages
	}
	for _, o := range c.Origins {
		if strings.EqualFold(o, origin) {
			return true
		}
	}
	return false
}
