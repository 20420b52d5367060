package auth

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The algorithms (RFC 7518 §3.1, RFC 8037 §3.1) that may sign a token.
const (
	algEdDSA = "EdDSA"
	algHS256 = "HS256"
)

// asymmetric lists what keys of a JWKS file may sign with. "none" is nowhere.
var asymmetric = []string{
	algEdDSA, "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
}

const minSecretBytes = 32 // RFC 7518 §3.2: no shorter than the hash

// verifyKey is one key a token may be signed with. Which algorithms it verifies
// is decided when it is loaded, never by a token.
type verifyKey struct {
	id   string
	algs []string
	key  jwt.VerificationKey
}

// issuer is somebody whose tokens are believed, and how far.
type issuer struct {
	iss        string
	name       string
	own        bool
	audience   []string
	algorithms []string // nil: whatever its keys allow
	fixed      []verifyKey
	file       *keyFile // instead of fixed

	within        []string // nil: any room
	rights        Rights
	defaultRooms  []string
	defaultRights Rights
	prefix        string
}

// IssuerStatus is how an outside issuer's keys are doing.
type IssuerStatus struct {
	Name   string
	Issuer string
	Keys   int       // usable keys in force
	Loaded time.Time // when they were read
	Err    error     // why the file as it is now is not in force; nil when it is
}

// own is the box as an issuer: its key, and no cap on what a token says.
func (a *Authority) own() *issuer {
	return &issuer{
		iss: a.self, name: "this box", own: true, audience: []string{a.self}, rights: AllRights,
		fixed: []verifyKey{{id: a.keyID, algs: []string{algEdDSA}, key: a.key.Public()}},
	}
}

// newIssuer makes an outside issuer from a valid configuration.
func newIssuer(c IssuerConfig, self string, log *slog.Logger) *issuer {
	iss := &issuer{
		iss: c.Issuer, name: c.Name, audience: c.Audience, algorithms: c.Algorithms, file: c.keyFile(),
		within: c.Rooms, rights: rightsOr(c.Rights, DeviceRights),
		defaultRooms: c.DefaultRooms, defaultRights: rightsOr(c.DefaultRights, RightJoin|RightSend),
		prefix: c.SubjectPrefix,
	}
	if iss.name == "" {
		iss.name = c.Issuer
	}
	if len(iss.audience) == 0 {
		iss.audience = []string{self}
	}
	iss.file.log = log.With("component", "auth issuer "+iss.name)
	if iss.file.claim() {
		iss.file.refresh()
	}
	return iss
}

func rightsOr(names []string, unset Rights) Rights {
	if names == nil {
		return unset
	}
	r, _ := ParseRights(names) // Validate has parsed them
	return r
}

// keyFile is where the issuer's keys come from; nil when the configuration does not say.
func (c IssuerConfig) keyFile() *keyFile {
	switch {
	case c.JWKSFile != "":
		return &keyFile{path: c.JWKSFile, parse: parseJWKS, log: slog.New(slog.DiscardHandler)}
	case c.HS256SecretFile != "":
		return &keyFile{path: c.HS256SecretFile, parse: parseSecret, secret: true, log: slog.New(slog.DiscardHandler)}
	}
	return nil
}

// parseSecret reads a shared secret: the bytes of the file, without the one line
// break that editors and `openssl rand -hex 32 >FILE` leave at its end.
func parseSecret(content []byte) ([]verifyKey, error) {
	content = bytes.TrimSuffix(bytes.TrimSuffix(content, []byte("\n")), []byte("\r"))
	if len(content) < minSecretBytes {
		return nil, fmt.Errorf("the secret has %d bytes, want at least %d: make one with openssl rand -hex 32", len(content), minSecretBytes)
	}
	return []verifyKey{{algs: []string{algHS256}, key: bytes.Clone(content)}}, nil
}

func (i *issuer) keys() ([]verifyKey, error) {
	if i.file == nil {
		return i.fixed, nil
	}
	return i.file.current()
}

// choose gives the keys that may have signed a token with this header.
func (i *issuer) choose(alg, kid string) (jwt.VerificationKeySet, error) {
	var set jwt.VerificationKeySet
	keys, err := i.keys()
	if err != nil {
		return set, fmt.Errorf("issuer %q: %w", i.name, err)
	}
	fits := false
	for _, k := range keys {
		if !slices.Contains(k.algs, alg) || i.algorithms != nil && !slices.Contains(i.algorithms, alg) {
			continue
		}
		fits = true
		if kid == "" || k.id == "" || k.id == kid {
			set.Keys = append(set.Keys, k.key)
		}
	}
	switch {
	case !fits:
		return set, fmt.Errorf("%w: %q, issuer %q does not sign with it", ErrAlgorithm, alg, i.name)
	case len(set.Keys) == 0:
		return set, fmt.Errorf("%w: key id %q is not among the keys of issuer %q", ErrSignature, kid, i.name)
	}
	return set, nil
}

// typed reports whether a token of that typ header may be a device token (RFC
// 8725 §3.11): signed statements made for another purpose are not.
func (i *issuer) typed(typ string) bool {
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	if i.own {
		return typ == tokenType
	}
	return typ == "" || typ == "jwt" || typ == "at+jwt" || typ == tokenType
}

// identity is what believed claims amount to within the issuer's limits.
func (i *issuer) identity(c claims, rights Rights) Identity {
	id := Identity{
		Subject: i.prefix + c.subject, Rooms: c.rooms, Within: i.within, Rights: rights & i.rights,
		Issued: c.issued, Expires: c.expires, TokenID: c.id, Issuer: i.iss,
	}
	if c.rooms == nil {
		id.Rooms = i.defaultRooms
	}
	if c.rights == nil {
		id.Rights = i.defaultRights & i.rights
	}
	return id
}

func (i *issuer) status() IssuerStatus {
	_, _ = i.file.current() // look at the file if it is time
	i.file.mu.Lock()
	defer i.file.mu.Unlock()
	return IssuerStatus{Name: i.name, Issuer: i.iss, Keys: len(i.file.keys), Loaded: i.file.loaded, Err: i.file.err}
}
