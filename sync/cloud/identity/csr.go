package identity

import (
	"crypto"
	"crypto/x509"

	"signalbox/sync/wire"
)

// request is what is taken of a CSR: the key, and that whoever asks holds it.
type request struct {
	public crypto.PublicKey
	der    []byte // SubjectPublicKeyInfo
	id     uint64
}

// parseCSR reads a CSR. It may ask for no name but the SPIFFE id that the box
// gets anyway, and only when it has one; its subject counts for nothing.
func parseCSR(der []byte, own string) (request, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return request{}, refuse(ReasonCSR, "the certificate request cannot be read: %v", err)
	}
	if err := wire.CheckKey(csr.PublicKey); err != nil {
		return request{}, refuse(ReasonCSRKey, "the certificate request: %v", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return request{}, refuse(ReasonCSR, "the certificate request is not signed by its own key")
	}
	if len(csr.DNSNames)+len(csr.EmailAddresses)+len(csr.IPAddresses) > 0 {
		return request{}, refuse(ReasonCSRNames, "the certificate request asks for names; a box's certificate has its SPIFFE id only")
	}
	for _, uri := range csr.URIs {
		if own == "" || uri.String() != own {
			return request{}, refuse(ReasonCSRNames, "the certificate request asks for %.200q, which is not this box's", uri)
		}
	}
	req := request{public: csr.PublicKey}
	if req.der, err = wire.MarshalKey(req.public); err != nil {
		return request{}, refuse(ReasonCSRKey, "the certificate request: %v", err)
	}
	req.id, err = wire.KeyID(req.public)
	return req, err
}
