package wire

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// Paths of enrolment on the cloud's HTTPS port.
const (
	JoinPath  = "/sync/v1/join"  // POST JoinRequest -> JoinAnswer
	RenewPath = "/sync/v1/renew" // POST RenewRequest -> RenewAnswer, with proof
	SelfPath  = "/sync/v1/self"  // GET -> Self, with proof: whether a certificate works
)

// Bounds of what enrolment carries.
const (
	MaxEnrolBytes = 64 << 10 // a document
	maxCSRBytes   = 4 << 10
	maxCertBytes  = 4 << 10
	maxCerts      = 8 // of a chain or a bundle
	maxText       = 200
	NonceBytes    = 16 // of a box's own nonces
	maxDomain     = 255
)

// NewNonce makes a box's own nonce.
func NewNonce() []byte {
	nonce := make([]byte, NonceBytes)
	_, _ = rand.Read(nonce) // never fails, by its contract
	return nonce
}

// JoinRequest asks for a certificate with a token that is not in it: MAC is made
// with the token's Key over all the rest. So it may pass through a proxy that ends TLS.
type JoinRequest struct {
	Token   string    `json:"token"` // JoinToken.ID
	CSR     []byte    `json:"csr"`   // PKCS #10, DER
	Box     string    `json:"box"`
	Name    string    `json:"name"` // what people at the site call it
	Version string    `json:"version"`
	Time    time.Time `json:"time"` // the box's clock, for people to compare
	Nonce   []byte    `json:"nonce"`
	MAC     []byte    `json:"mac"`
}

// ParseJoinRequest reads a request and checks its form, not its MAC.
func ParseJoinRequest(data []byte) (*JoinRequest, error) {
	var r JoinRequest
	if err := parseDocument(data, &r); err != nil {
		return nil, err
	}
	return &r, r.check()
}

func (r *JoinRequest) check() error {
	return errors.Join(
		CheckTokenID(r.Token),
		bounded("csr", len(r.CSR), 1, maxCSRBytes),
		named("box", r.Box),
		bounded("name", len(r.Name), 0, maxText), text("name", r.Name),
		bounded("version", len(r.Version), 0, maxText), text("version", r.Version),
		bounded("nonce", len(r.Nonce), NonceBytes, NonceBytes),
		bounded("mac", len(r.MAC), sha256.Size, sha256.Size),
	)
}

// Seal sets MAC.
func (r *JoinRequest) Seal(key []byte) { r.MAC = r.mac(key) }

// Sealed tells whether whoever made r has the token.
func (r *JoinRequest) Sealed(key []byte) bool { return hmac.Equal(r.MAC, r.mac(key)) }

func (r *JoinRequest) mac(key []byte) []byte {
	return macOf(key, "signalbox join request 1", []byte(r.Token), r.CSR, []byte(r.Box), []byte(r.Name),
		[]byte(r.Version), millis(r.Time.UnixMilli()), r.Nonce)
}

// JoinAnswer is the identity of a box. MAC is made with the token's Key over it
// and the request that it answers.
type JoinAnswer struct {
	Box    string    `json:"box"`    // BoxID
	Domain string    `json:"domain"` // trust domain
	Chain  [][]byte  `json:"chain"`  // DER, the box's own first
	Roots  [][]byte  `json:"roots"`  // DER
	Now    time.Time `json:"now"`    // the cloud's clock
	MAC    []byte    `json:"mac"`
}

// ParseJoinAnswer reads an answer and checks its form, not its MAC.
func ParseJoinAnswer(data []byte) (*JoinAnswer, error) {
	var a JoinAnswer
	if err := parseDocument(data, &a); err != nil {
		return nil, err
	}
	_, idErr := ParseBoxID(a.Box)
	return &a, errors.Join(idErr, bounded("domain", len(a.Domain), 1, maxDomain), certs("chain", a.Chain), certs("roots", a.Roots),
		bounded("mac", len(a.MAC), sha256.Size, sha256.Size))
}

// Seal sets MAC.
func (a *JoinAnswer) Seal(key []byte, to *JoinRequest) { a.MAC = a.mac(key, to) }

// Sealed tells whether whoever made a has the token and answered this very request.
func (a *JoinAnswer) Sealed(key []byte, to *JoinRequest) bool {
	return hmac.Equal(a.MAC, a.mac(key, to))
}

func (a *JoinAnswer) mac(key []byte, to *JoinRequest) []byte {
	return macOf(key, "signalbox join answer 1", to.Nonce, to.MAC, []byte(a.Box), []byte(a.Domain),
		appendFields(nil, a.Chain...), appendFields(nil, a.Roots...), millis(a.Now.UnixMilli()))
}

// RenewRequest asks for a new certificate. The proof that comes with it covers
// it by its digest.
type RenewRequest struct {
	CSR     []byte `json:"csr"` // of a new key, or of the same
	Name    string `json:"name"`
	Version string `json:"version"`
}

// ParseRenewRequest reads a request and checks its form.
func ParseRenewRequest(data []byte) (*RenewRequest, error) {
	var r RenewRequest
	if err := parseDocument(data, &r); err != nil {
		return nil, err
	}
	return &r, errors.Join(bounded("csr", len(r.CSR), 1, maxCSRBytes),
		bounded("name", len(r.Name), 0, maxText), text("name", r.Name),
		bounded("version", len(r.Version), 0, maxText), text("version", r.Version))
}

// RenewAnswer is a new certificate. The cloud's proof covers it by its digest.
type RenewAnswer struct {
	Chain [][]byte `json:"chain"`
	Roots [][]byte `json:"roots"` // all that are good now
}

// ParseRenewAnswer reads an answer and checks its form.
func ParseRenewAnswer(data []byte) (*RenewAnswer, error) {
	var a RenewAnswer
	if err := parseDocument(data, &a); err != nil {
		return nil, err
	}
	return &a, errors.Join(certs("chain", a.Chain), certs("roots", a.Roots))
}

// Self is who the cloud takes a box for.
type Self struct {
	Box   string    `json:"box"`
	Until time.Time `json:"until"` // end of its certificate
}

// Failure is the body of an answer that refuses.
type Failure struct {
	Code    string `json:"error"`   // for programs, a reason that is counted
	Message string `json:"message"` // for people
}

// ParseFailure reads the body of a refusal. What a proxy on the way wrote
// instead gives a Failure without a code.
func ParseFailure(data []byte) Failure {
	var f Failure
	if parseDocument(data, &f) != nil || text("message", f.Message) != nil || text("code", f.Code) != nil || len(f.Code) > maxText {
		return Failure{}
	}
	if len(f.Message) > 1<<10 {
		f.Message = f.Message[:1<<10]
	}
	return f
}

func parseDocument(data []byte, into any) error {
	if err := bounded("document", len(data), 0, MaxEnrolBytes); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func macOf(key []byte, context string, fields ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(appendFields(appendFields(nil, []byte(context)), fields...))
	return h.Sum(nil)
}

func bounded(what string, n, least, most int) error {
	switch {
	case n >= least && n <= most:
		return nil
	case least == most:
		return fmt.Errorf("%s: got %d bytes, want %d", what, n, least)
	}
	return fmt.Errorf("%s: got %d bytes, want %d to %d", what, n, least, most)
}

func named(what, name string) error {
	if err := CheckName(name); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func text(what, s string) error {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return fmt.Errorf("%s: got %.80q, want one line of text", what, s)
		}
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s: got %.80q, want UTF-8", what, s)
	}
	return nil
}

func certs(what string, list [][]byte) error {
	if len(list) < 1 || len(list) > maxCerts {
		return fmt.Errorf("%s: got %d certificates, want 1 to %d", what, len(list), maxCerts)
	}
	for _, der := range list {
		if err := bounded(what, len(der), 1, maxCertBytes); err != nil {
			return err
		}
	}
	return nil
}
