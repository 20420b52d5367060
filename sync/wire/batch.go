package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// signaturePrefix keeps signatures of batches apart from all others that the
// same key makes.
const signaturePrefix = "signalbox batch 1\x00"

// Signer signs the batches of one box.
type Signer struct {
	box BoxID
	key crypto.Signer
	id  uint64
}

// NewSigner takes an Ed25519 or a P-256 key.
func NewSigner(box BoxID, key crypto.Signer) (*Signer, error) {
	if err := box.Validate(); err != nil {
		return nil, err
	}
	id, err := KeyID(key.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{box, key, id}, nil
}

// KeyID names a public key in a Batch: the first 8 bytes of the SHA-256 of its
// SubjectPublicKeyInfo. ErrKey is returned for kinds that sign no batches.
func KeyID(public crypto.PublicKey) (uint64, error) {
	switch key := public.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return 0, fmt.Errorf("%w: got a key on %s, want P-256", ErrKey, key.Curve.Params().Name)
		}
	default:
		return 0, fmt.Errorf("%w: got a %T, want an Ed25519 or P-256 key", ErrKey, public)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrKey, err)
	}
	sum := sha256.Sum256(der)
	return binary.BigEndian.Uint64(sum[:]), nil
}

// EncodeBatch compresses and signs body. ErrOversize is returned when it does
// not fit a batch, and what Decode would when the cloud would refuse it.
func EncodeBatch(s *Signer, body *Body) ([]byte, error) {
	if err := checkBody(body); err != nil {
		return nil, err
	}
	raw, err := proto.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(raw) > MaxBodyBytes {
		return nil, fmt.Errorf("%w: a body of %d bytes, want at most %d", ErrOversize, len(raw), MaxBodyBytes)
	}
	b := &Batch{Box: s.box.String(), Key: s.id, Body: compress(raw)}
	digest, opts := b.signed(s.key.Public())
	if b.Signature, err = s.key.Sign(rand.Reader, digest, opts); err != nil {
		return nil, fmt.Errorf("sign batch: %w", err)
	}
	data, err := proto.Marshal(b)
	if err == nil && len(data) > MaxBatchBytes {
		err = fmt.Errorf("%w: a batch of %d bytes, want at most %d", ErrOversize, len(data), MaxBatchBytes)
	}
	return data, err
}

// DecodeBatch reads the envelope of a batch that came on the subject of box:
// ErrOversize, ErrMalformed, ErrForeign. Nothing of it is to be believed before
// Verify has passed.
func DecodeBatch(data []byte, box BoxID) (*Batch, error) {
	if len(data) > MaxBatchBytes {
		return nil, fmt.Errorf("%w: a batch of %d bytes, want at most %d", ErrOversize, len(data), MaxBatchBytes)
	}
	b := new(Batch)
	if err := proto.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if b.GetBox() != box.String() {
		return nil, fmt.Errorf("%w: a batch of %.200q on the subject of %s", ErrForeign, b.GetBox(), box)
	}
	return b, nil
}

// Verify tells whether the batch was signed by the owner of public, whose
// KeyID it names: ErrSignature, ErrKey.
func (b *Batch) Verify(public crypto.PublicKey) error {
	id, err := KeyID(public)
	if err != nil {
		return err
	}
	if id != b.GetKey() {
		return fmt.Errorf("%w: it names key %016x, not %016x", ErrSignature, b.GetKey(), id)
	}
	digest, _ := b.signed(public)
	ok := false
	switch key := public.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(key, digest, b.GetSignature())
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(key, digest, b.GetSignature())
	}
	if !ok {
		return fmt.Errorf("%w: key %016x did not sign it", ErrSignature, id)
	}
	return nil
}

// signed returns what a key of that kind signs, and how: Ed25519 the message,
// ECDSA its SHA-256.
func (b *Batch) signed(public crypto.PublicKey) ([]byte, crypto.SignerOpts) {
	message := make([]byte, 0, len(signaturePrefix)+len(b.GetBox())+1+len(b.GetBody()))
	message = append(message, signaturePrefix...)
	message = append(message, b.GetBox()...)
	message = append(message, 0)
	message = append(message, b.GetBody()...)
	if _, ok := public.(ed25519.PublicKey); ok {
		return message, crypto.Hash(0)
	}
	sum := sha256.Sum256(message)
	return sum[:], crypto.SHA256
}

// Decode decompresses and checks the body of a verified batch. Its refusals are
// ErrOversize, ErrDictionary, ErrMalformed, ErrLimit, ErrSequence and ErrTime.
func (b *Batch) Decode() (*Body, error) {
	raw, err := decompress(b.GetBody(), MaxBodyBytes)
	if err != nil {
		return nil, err
	}
	body := new(Body)
	if err := proto.Unmarshal(raw, body); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return body, checkBody(body)
}
