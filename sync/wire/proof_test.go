package wire_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"signalbox/sync/wire"
)

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeys(t *testing.T) {
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for _, key := range []crypto.Signer{newKey(t), ed} {
		signature, err := wire.SignMessage(key, []byte("message"))
		if err != nil || !wire.VerifyMessage(key.Public(), []byte("message"), signature) {
			t.Errorf("%T: %v", key, err)
		}
		if wire.VerifyMessage(key.Public(), []byte("massage"), signature) || wire.VerifyMessage(newKey(t).Public(), []byte("message"), signature) {
			t.Errorf("%T: a signature is taken for another's", key)
		}
		der, err := wire.MarshalKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		public, err := wire.ParseKey(der)
		if err != nil || !reflect.DeepEqual(public, key.Public()) {
			t.Errorf("ParseKey: %v, %v", public, err)
		}
	}
	other, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if _, err := wire.SignMessage(other, nil); err == nil {
		t.Error("signs with P-384")
	}
}

// TestProof makes a proof and presents it for other requests.
func TestProof(t *testing.T) {
	key, chain := newKey(t), [][]byte{[]byte("leaf"), []byte("issuer")}
	u, _ := url.Parse("https://cloud:8453/sync?a=b")
	proof, err := wire.NewProof(key, chain, "nonce", "GET", wire.Target(u), []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	read, err := wire.ParseProof(proof.Header())
	if err != nil || !reflect.DeepEqual(read, proof) {
		t.Fatalf("ParseProof(Header()) = %+v, %v, want %+v", read, err, proof)
	}
	if !read.Verify(key.Public(), "GET", "/sync?a=b") || !read.Covers([]byte("body")) || read.Covers([]byte("other")) {
		t.Error("a good proof is refused, or covers what it should not")
	}
	if read.Verify(key.Public(), "POST", "/sync?a=b") || read.Verify(key.Public(), "GET", "/sync") || read.Verify(newKey(t).Public(), "GET", "/sync?a=b") {
		t.Error("a proof is good for another request")
	}
	for name, change := range map[string]func(*wire.Proof){
		"nonce":  func(p *wire.Proof) { p.Nonce = "nonces" },
		"own":    func(p *wire.Proof) { p.Own = wire.NewNonce() },
		"digest": func(p *wire.Proof) { p.Digest = nil },
		"leaf":   func(p *wire.Proof) { p.Leaf = make([]byte, 32) },
	} {
		changed := *read
		if change(&changed); changed.Verify(key.Public(), "GET", "/sync?a=b") {
			t.Errorf("%s can be changed", name)
		}
	}
	read.Chain = [][]byte{[]byte("another leaf")}
	if _, err := wire.ParseProof(read.Header()); err == nil {
		t.Error("a chain is taken that is not the leaf's")
	}
	if _, err := wire.ParseProof("Signalbox " + strings.Repeat("A", wire.MaxProofBytes)); err == nil {
		t.Error("an endless header is taken")
	}
}

func TestCloudProof(t *testing.T) {
	box, cloud := newKey(t), newKey(t)
	proof, _ := wire.NewProof(box, [][]byte{[]byte("leaf")}, "nonce", "GET", "/sync", nil)
	other, _ := wire.NewProof(box, [][]byte{[]byte("leaf")}, "nonce", "GET", "/sync", nil)
	answer, err := wire.NewCloudProof(cloud, [][]byte{[]byte("cloud")}, time.Now(), proof, []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	read, err := wire.ParseCloudProof(answer.Header())
	if err != nil || !reflect.DeepEqual(read, answer) {
		t.Fatalf("ParseCloudProof(Header()) = %+v, %v, want %+v", read, err, answer)
	}
	if !read.Verify(cloud.Public(), proof) || !read.Covers([]byte("body")) || read.Covers(nil) {
		t.Error("a good proof is refused, or covers what it should not")
	}
	if read.Verify(cloud.Public(), other) || read.Verify(box.Public(), proof) {
		t.Error("a proof is good for another request")
	}
	read.Time = read.Time.Add(time.Millisecond)
	if read.Verify(cloud.Public(), proof) {
		t.Error("the time can be changed")
	}
}

func TestChallenge(t *testing.T) {
	if nonce, ok := wire.ParseChallenge(wire.Challenge("abc_-9")); !ok || nonce != "abc_-9" {
		t.Errorf("got %q, %v", nonce, ok)
	}
	for _, foreign := range []string{"", `Basic realm="x"`, `Signalbox nonce=""`, `Signalbox nonce="a`, `Signalbox nonce="a"b"`, `Signalbox nonce="` + strings.Repeat("a", 129) + `"`} {
		if nonce, ok := wire.ParseChallenge(foreign); ok {
			t.Errorf("ParseChallenge(%q) = %q", foreign, nonce)
		}
	}
}

// FuzzProof reads every header of a proof from the same text.
func FuzzProof(f *testing.F) {
	key := newKey(f)
	proof, _ := wire.NewProof(key, [][]byte{[]byte("leaf"), []byte("issuer")}, "nonce", "GET", "/sync", nil)
	cloud, _ := wire.NewCloudProof(key, [][]byte{[]byte("cloud")}, time.Now(), proof, []byte("body"))
	f.Add(proof.Header())
	f.Add(cloud.Header())
	f.Add(wire.Challenge("abc"))
	f.Add("Signalbox AQ")
	f.Fuzz(func(t *testing.T, header string) {
		if p, err := wire.ParseProof(header); err == nil {
			if again, err := wire.ParseProof(p.Header()); err != nil || !reflect.DeepEqual(again, p) {
				t.Errorf("read again: %+v, %v, want %+v", again, err, p)
			}
			p.Verify(key.Public(), "GET", "/sync")
		}
		if c, err := wire.ParseCloudProof(header); err == nil {
			if again, err := wire.ParseCloudProof(c.Header()); err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("read again: %+v, %v, want %+v", again, err, c)
			}
		}
		if nonce, ok := wire.ParseChallenge(header); ok && wire.Challenge(nonce) != header {
			t.Errorf("challenge %q gives nonce %q", header, nonce)
		}
	})
}
