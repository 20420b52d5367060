package auth_test

import (
	"crypto/elliptic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"signalbox/appliance/auth"
)

// BenchmarkVerify is what signing in costs, by kind of key.
func BenchmarkVerify(b *testing.B) {
	okp, ec, r := newKey(b), ecKey(b, elliptic.P256()), rsaKey(b)
	path := writeFile(b, jwks(b, public(b, okp, nil), public(b, ec, nil), public(b, r, nil)))
	a, _ := newAuthority(b, auth.Config{Issuers: []auth.IssuerConfig{{Issuer: corp, JWKSFile: path}}})
	own, _ := issue(b, a, auth.Grant{Subject: "cam-7", Rooms: []string{"line-3"}, Rights: auth.DeviceRights, TTL: time.Hour})
	header := map[string]any{"typ": "JWT"}
	for name, token := range map[string]string{
		"own":       own,
		"EdDSA":     mint(b, jwt.SigningMethodEdDSA, okp, header, corpClaims(nil)),
		"ES256":     mint(b, jwt.SigningMethodES256, ec, header, corpClaims(nil)),
		"RS256":     mint(b, jwt.SigningMethodRS256, r, header, corpClaims(nil)),
		"oversize":  own + string(make([]byte, 1<<20)),
		"malformed": own[:len(own)/2],
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = a.Verify(token)
			}
		})
	}
}
