package auth

import (
	"log/slog"
	"time"
)

// Admission policies.
const (
	AdmissionToken = "token" // a token or an invite, nothing else
	AdmissionOpen  = "open"  // anyone who reaches the box
)

// Config is the [auth] section.
type Config struct {
	Admission  string         `toml:"admission"`   // AdmissionToken unless set
	OpenRooms  []string       `toml:"open_rooms"`  // what open admission may join; "*" unless set
	OpenRights []string       `toml:"open_rights"` // join, send and create unless set
	TokenTTL   time.Duration  `toml:"token_ttl"`   // of a grant that names none; 90 days unless set
	Issuers    []IssuerConfig `toml:"issuers"`

	Invites     InviteStore     `toml:"-"` // nil: invites cannot be made or redeemed
	Revocations RevocationStore `toml:"-"` // nil: revocations last until the process ends
	Logger      *slog.Logger    `toml:"-"` // nil: discard
}

// IssuerConfig is an outside issuer whose tokens the box believes: [[auth.issuers]].
// Exactly one of JWKSFile and HS256SecretFile is set.
type IssuerConfig struct {
	Name            string   `toml:"name"`              // what logs and the console call it
	Issuer          string   `toml:"issuer"`            // the iss claim, compared exactly
	Audience        []string `toml:"audience"`          // any of these in aud; "signalbox:BOXID" unless set
	JWKSFile        string   `toml:"jwks_file"`         // RFC 7517 set of OKP, EC and RSA public keys
	HS256SecretFile string   `toml:"hs256_secret_file"` // at least 32 bytes; one line break at the end does not count
	Algorithms      []string `toml:"algorithms"`        // narrows what the keys allow, e.g. ["ES256"]
	Rooms           []string `toml:"rooms"`             // the most a token may name; "*" unless set
	Rights          []string `toml:"rights"`            // the most a token may give; join, send and create unless set
	DefaultRooms    []string `toml:"default_rooms"`     // for tokens without the claim; none unless set
	DefaultRights   []string `toml:"default_rights"`    // for tokens without the claim; join and send unless set
	SubjectPrefix   string   `toml:"subject_prefix"`    // put before sub, to keep its names apart from the box's
}
