package identity

import (
	"crypto/x509"
	"time"
)

// maxKeys bounds a box's keys. Boxes change their key every 90 days, so that these
// are 16 years; a box that is made to join anew time and again loses the oldest.
const maxKeys = 64

// addKey adds a key, or does nothing if the box has it and it is good. A key
// that ended does not come back.
func addKey(b *Box, k Key) error {
	if known, ok := b.Key(k.ID); ok {
		if !known.Until.IsZero() {
			return refuse(ReasonKeyEnded, "this key of the box has ended; make another")
		}
		return nil
	}
	b.Keys = append(b.Keys, k)
	b.Keys = b.Keys[max(0, len(b.Keys)-maxKeys):]
	return nil
}

// certify notes a key and the certificate that was made for it.
func certify(b *Box, csr request, cert *x509.Certificate, now time.Time) error {
	if err := addKey(b, Key{ID: csr.id, Public: csr.der, From: now}); err != nil {
		return err
	}
	b.Serial, b.CertEnd = cert.SerialNumber.Text(16), cert.NotAfter
	return nil
}
