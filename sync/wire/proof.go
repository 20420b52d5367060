package wire

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// How a box and the cloud show each other who they are within HTTP, so that it
// holds through proxies that end TLS. A request without proof is answered with
// 401 and
//
//	WWW-Authenticate: Signalbox nonce="NONCE"
//
// and made again with
//
//	Authorization: Signalbox PROOF
//
// The answer to that carries, whatever its status if the proof was good,
//
//	Signalbox-Proof: CLOUDPROOF
//
// PROOF and CLOUDPROOF are base64url, without padding, of a version byte and
// fields (field.go).
const (
	ProofScheme      = "Signalbox"
	CloudProofHeader = "Signalbox-Proof"

	// MaxProofBytes bounds each header.
	MaxProofBytes = 8 << 10
	// MaxNonceBytes bounds the text of a cloud's nonce.
	MaxNonceBytes = 128
	// maxSignature is more than an ECDSA signature on P-256 in ASN.1 (72).
	maxSignature = 80
	maxChain     = 4
	proofVersion = 1
)

// CloudPath is the path of the cloud's SPIFFE id.
const CloudPath = "/cloud"

// Proof shows that a request is from the holder of a certificate's key.
type Proof struct {
	Nonce     string   // the cloud's, as it gave it
	Own       []byte   // the box's own, for the cloud to sign
	Digest    []byte   // SHA-256 of the request's body; empty: the body is not covered
	Leaf      []byte   // SHA-256 of the box's certificate
	Chain     [][]byte // DER, the box's certificate first; empty: the cloud has seen it
	Signature []byte
}

// NewProof makes the proof of a request. chain is DER, the box's first; body nil
// leaves the body uncovered.
func NewProof(key crypto.Signer, chain [][]byte, nonce, method, target string, body []byte) (*Proof, error) {
	if len(chain) == 0 {
		return nil, errors.New("proof without a certificate")
	}
	p := &Proof{Nonce: nonce, Own: NewNonce(), Chain: chain}
	leaf := sha256.Sum256(chain[0])
	p.Leaf = leaf[:]
	if body != nil {
		sum := sha256.Sum256(body)
		p.Digest = sum[:]
	}
	var err error
	p.Signature, err = SignMessage(key, p.message(method, target))
	return p, err
}

// Verify tells whether the holder of public has made p for such a request.
func (p *Proof) Verify(public crypto.PublicKey, method, target string) bool {
	return VerifyMessage(public, p.message(method, target), p.Signature)
}

func (p *Proof) message(method, target string) []byte {
	return appendFields(nil, []byte("signalbox proof 1"), []byte(p.Nonce), p.Own, []byte(method), []byte(target), p.Digest, p.Leaf)
}

// Target is what a proof covers of a URL: path and query, not the host, which a
// proxy may have another name for.
func Target(u *url.URL) string {
	target := u.EscapedPath()
	if u.RawQuery != "" {
		target += "?" + u.RawQuery
	}
	return target
}

// Header is p as the value of Authorization.
func (p *Proof) Header() string {
	b := appendFields([]byte{proofVersion}, []byte(p.Nonce), p.Own, p.Digest, p.Leaf, p.Signature)
	return ProofScheme + " " + base64.RawURLEncoding.EncodeToString(appendFields(b, p.Chain...))
}

// ParseProof reads the value of an Authorization header and checks its form.
func ParseProof(header string) (*Proof, error) {
	if len(header) > MaxProofBytes {
		return nil, fmt.Errorf("proof: got %d bytes, want at most %d", len(header), MaxProofBytes)
	}
	scheme, encoded, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, ProofScheme) {
		return nil, fmt.Errorf("proof: got scheme %.20q, want %s", scheme, ProofScheme)
	}
	var p Proof
	var nonce []byte
	rest, err := decodeProof(encoded, &nonce, &p.Own, &p.Digest, &p.Leaf, &p.Signature)
	if err != nil {
		return nil, err
	}
	p.Nonce = string(nonce)
	if p.Chain, err = cutChain(rest); err != nil {
		return nil, err
	}
	return &p, p.check()
}

func (p *Proof) check() error {
	return errors.Join(
		bounded("nonce", len(p.Nonce), 1, MaxNonceBytes),
		bounded("own nonce", len(p.Own), NonceBytes, NonceBytes),
		checkDigest(p.Digest),
		bounded("leaf", len(p.Leaf), sha256.Size, sha256.Size),
		bounded("signature", len(p.Signature), 1, maxSignature),
		checkChain(p.Leaf, p.Chain),
	)
}

func checkDigest(digest []byte) error {
	if len(digest) == 0 {
		return nil
	}
	return bounded("digest", len(digest), sha256.Size, sha256.Size)
}

// checkChain has a proof speak of one certificate, not of two.
func checkChain(leaf []byte, chain [][]byte) error {
	if len(chain) == 0 {
		return nil
	}
	if sum := sha256.Sum256(chain[0]); string(sum[:]) != string(leaf) {
		return errors.New("leaf: is not the hash of the chain's first certificate")
	}
	return nil
}

// Covers tells whether the proof covers this body.
func (p *Proof) Covers(body []byte) bool { return covers(p.Digest, body) }

func covers(digest, body []byte) bool {
	sum := sha256.Sum256(body)
	return string(sum[:]) == string(digest)
}

// CloudProof shows that an answer is from the cloud.
type CloudProof struct {
	Time      time.Time // the cloud's clock, in milliseconds
	Digest    []byte    // SHA-256 of the answer's body; empty: the body is not covered
	Chain     [][]byte  // DER, the cloud's certificate first
	Signature []byte
}

// NewCloudProof answers p. body nil leaves the body uncovered.
func NewCloudProof(key crypto.Signer, chain [][]byte, now time.Time, p *Proof, body []byte) (*CloudProof, error) {
	c := &CloudProof{Time: time.UnixMilli(now.UnixMilli()), Chain: chain}
	if body != nil {
		sum := sha256.Sum256(body)
		c.Digest = sum[:]
	}
	var err error
	c.Signature, err = SignMessage(key, c.message(p))
	return c, err
}

// Verify tells whether the holder of public has made c in answer to p.
func (c *CloudProof) Verify(public crypto.PublicKey, p *Proof) bool {
	return VerifyMessage(public, c.message(p), c.Signature)
}

func (c *CloudProof) message(p *Proof) []byte {
	return appendFields(nil, []byte("signalbox cloud proof 1"), p.Own, p.Signature, millis(c.Time.UnixMilli()), c.Digest)
}

// Covers tells whether the proof covers this body.
func (c *CloudProof) Covers(body []byte) bool { return covers(c.Digest, body) }

// Header is c as the value of CloudProofHeader.
func (c *CloudProof) Header() string {
	b := appendFields([]byte{proofVersion}, millis(c.Time.UnixMilli()), c.Digest, c.Signature)
	return base64.RawURLEncoding.EncodeToString(appendFields(b, c.Chain...))
}

// ParseCloudProof reads the value of CloudProofHeader and checks its form.
func ParseCloudProof(header string) (*CloudProof, error) {
	if len(header) > MaxProofBytes {
		return nil, fmt.Errorf("proof: got %d bytes, want at most %d", len(header), MaxProofBytes)
	}
	var c CloudProof
	var at []byte
	rest, err := decodeProof(header, &at, &c.Digest, &c.Signature)
	if err != nil {
		return nil, err
	}
	if c.Chain, err = cutChain(rest); err != nil {
		return nil, err
	}
	if err := errors.Join(bounded("time", len(at), 8, 8), checkDigest(c.Digest), bounded("chain", len(c.Chain), 1, maxChain),
		bounded("signature", len(c.Signature), 1, maxSignature)); err != nil {
		return nil, err
	}
	c.Time = time.UnixMilli(int64(binary.BigEndian.Uint64(at)))
	return &c, nil
}

func decodeProof(encoded string, into ...*[]byte) (rest []byte, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	if len(b) == 0 || b[0] != proofVersion {
		return nil, errors.New("proof: is of a version that is not known here; update the older side")
	}
	if rest, err = cutFields(b[1:], into...); err != nil {
		return nil, fmt.Errorf("proof: %w", err)
	}
	return rest, nil
}

func cutChain(b []byte) (chain [][]byte, err error) {
	for len(b) > 0 {
		var der []byte
		if der, b, err = cutField(b); err != nil {
			return nil, fmt.Errorf("proof: %w", err)
		}
		if chain = append(chain, der); len(chain) > maxChain {
			return nil, fmt.Errorf("proof: got more than %d certificates", maxChain)
		}
	}
	return chain, nil
}

// Challenge is the value of WWW-Authenticate that gives nonce.
func Challenge(nonce string) string { return ProofScheme + ` nonce="` + nonce + `"` }

// ParseChallenge takes the nonce out of a WWW-Authenticate header. ok is false
// when the header is somebody else's.
func ParseChallenge(header string) (nonce string, ok bool) {
	rest, ok := strings.CutPrefix(header, ProofScheme+` nonce="`)
	if !ok {
		return "", false
	}
	nonce, ok = strings.CutSuffix(rest, `"`)
	if !ok || nonce == "" || len(nonce) > MaxNonceBytes {
		return "", false
	}
	for _, c := range []byte(nonce) { // base64url
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return "", false
		}
	}
	return nonce, true
}
