package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// FieldError is one fault in the configuration.
type FieldError struct {
	Key  string // auth.admission
	Got  string
	Want string // what would be accepted
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s: got %q, want %s", e.Key, e.Got, e.Want) }

// Validate reports every fault of the section, joined, each a *FieldError. It
// does not touch the disk; Check does.
func (c Config) Validate() error {
	var errs []error
	fault := func(key, got, want string) {
		errs = append(errs, &FieldError{"auth." + key, got, want})
	}
	if c.Admission != "" && c.Admission != AdmissionToken && c.Admission != AdmissionOpen {
		fault("admission", c.Admission, "token or open")
	}
	if c.TokenTTL != 0 && (c.TokenTTL < time.Minute || c.TokenTTL > MaxTTL) {
		fault("token_ttl", c.TokenTTL.String(), fmt.Sprintf("1m to %dh", int(MaxTTL.Hours())))
	}
	checkRooms("open_rooms", c.OpenRooms, fault)
	checkRights("open_rights", c.OpenRights, fault)
	if r, err := ParseRights(c.OpenRights); err == nil && r&(RightManage|RightAdmin) != 0 {
		fault("open_rights", strings.Join(c.OpenRights, ","), "join, send and create at most: anyone would administer the box")
	}
	seen := make(map[string]int)
	for i, iss := range c.Issuers {
		at := fmt.Sprintf("issuers[%d].", i)
		if first, twice := seen[iss.Issuer]; twice {
			fault(at+"issuer", iss.Issuer, fmt.Sprintf("an issuer that issuers[%d] does not name already", first))
		}
		seen[iss.Issuer] = i
		iss.validate(func(key, got, want string) { fault(at+key, got, want) })
	}
	return errors.Join(errs...)
}

// Check is Validate, and reads the issuers' key files too.
func (c Config) Check() error {
	err := c.Validate()
	for i, iss := range c.Issuers {
		source := iss.keyFile()
		if source == nil {
			continue // Validate has said so
		}
		if _, readErr := source.read(); readErr != nil {
			err = errors.Join(err, fmt.Errorf("auth.issuers[%d]: %w", i, readErr))
		}
	}
	return err
}

func (c IssuerConfig) validate(fault func(key, got, want string)) {
	if c.Issuer == "" {
		fault("issuer", "", "the iss claim of its tokens, exactly")
	}
	if (c.JWKSFile == "") == (c.HS256SecretFile == "") {
		fault("jwks_file", c.JWKSFile, "either jwks_file or hs256_secret_file, and not both")
	}
	if slices.Contains(c.Audience, "") {
		fault("audience", "", "names without an empty one")
	}
	known := asymmetric
	if c.HS256SecretFile != "" {
		known = []string{algHS256}
	}
	for _, alg := range c.Algorithms {
		if !slices.Contains(known, alg) {
			fault("algorithms", alg, strings.Join(known, ", "))
		}
	}
	checkRooms("rooms", c.Rooms, fault)
	checkRooms("default_rooms", c.DefaultRooms, fault)
	checkRights("rights", c.Rights, fault)
	checkRights("default_rights", c.DefaultRights, fault)
	if c.SubjectPrefix != "" {
		if err := checkSubject(c.SubjectPrefix); err != nil {
			fault("subject_prefix", c.SubjectPrefix, "up to 64 printable characters: "+err.Error())
		} else if len(c.SubjectPrefix) > 64 {
			fault("subject_prefix", c.SubjectPrefix, "at most 64 bytes")
		}
	}
}

func checkRooms(key string, patterns []string, fault func(key, got, want string)) {
	for _, p := range patterns {
		if err := checkPattern(p); err != nil {
			fault(key, p, "a room name in which * stands for any characters: "+err.Error())
		}
	}
}

func checkRights(key string, names []string, fault func(key, got, want string)) {
	for _, name := range names {
		if _, err := ParseRights([]string{name}); err != nil {
			fault(key, name, "join, send, create, manage or admin")
		}
	}
}
