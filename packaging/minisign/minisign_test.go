package minisign_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"signalbox/packaging/minisign"
)

// signed is a text with a signature of a new key.
func signed(t *testing.T, text, comment string) (minisign.SecretKey, string) {
	t.Helper()
	key := minisign.GenerateKey()
	file, err := key.Sign(strings.NewReader(text), comment)
	if err != nil {
		t.Fatal(err)
	}
	return key, file
}

// verify goes the way that a file goes: through its text.
func verify(key minisign.PublicKey, text, file string) error {
	signature, err := minisign.ParseSignature(file)
	if err != nil {
		return err
	}
	return key.Verify(strings.NewReader(text), signature)
}

func TestSignAndVerify(t *testing.T) {
	key, file := signed(t, "a release", "file:signalbox_1.2.3")
	public, err := minisign.ParsePublicKey(key.Public().File())
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(public, "a release", file); err != nil {
		t.Error(err)
	}
	if err := verify(public, "a release", strings.ReplaceAll(file, "\n", "\r\n")); err != nil {
		t.Errorf("with CRLF: %v", err)
	}
	again, err := minisign.ParseSecretKey(key.File())
	if err != nil {
		t.Fatal(err)
	}
	if again.Public().String() != public.String() {
		t.Errorf("the secret key came back as %v, want %v", again.Public(), public)
	}
}

func TestVerifyRefuses(t *testing.T) {
	key, file := signed(t, "a release", "file:signalbox_1.2.3")
	_, foreign := signed(t, "a release", "file:signalbox_1.2.3")
	other := minisign.GenerateKey().Public()
	other.ID = key.Public().ID // an id proves nothing
	lines := strings.Split(file, "\n")
	tests := []struct {
		name, text, file string
		key              minisign.PublicKey
		want             error
	}{
		{"changed file", "a release!", file, key.Public(), minisign.ErrSignature},
		{"changed comment", "a release", strings.Replace(file, "1.2.3", "1.2.4", 1), key.Public(), minisign.ErrSignature},
		{"foreign signature", "a release", foreign, key.Public(), minisign.ErrKeyID},
		{"foreign key with the same id", "a release", file, other, minisign.ErrSignature},
		{"cut off", "a release", strings.Join(lines[:3], "\n"), key.Public(), nil},
		{"no base64", "a release", strings.Replace(file, lines[1], "none", 1), key.Public(), nil},
		{"another algorithm", "a release", strings.Replace(file, "\nRU", "\nWF", 1), key.Public(), nil},
		{"empty", "a release", "", key.Public(), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := verify(test.key, test.text, test.file)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestSecretKeyStaysSecret(t *testing.T) {
	key := minisign.GenerateKey()
	file := key.File()
	if text := fmt.Sprintf("%v %s %+v %#v", key, key, key, key); strings.ReplaceAll(text, "[redacted]", "") != "   " {
		t.Errorf("a secret key prints as %q", text)
	}
	_, err := minisign.ParsePublicKey(file)
	if err == nil {
		t.Fatal("a secret key passed for a public one")
	}
	encoded := strings.Split(file, "\n")[1]
	if strings.Contains(err.Error(), encoded[:20]) {
		t.Errorf("the message shows the key: %v", err)
	}
	broken := strings.Replace(file, encoded[150:154], "AAAA", 1)
	if _, err := minisign.ParseSecretKey(broken); err == nil {
		t.Error("a damaged secret key was taken")
	}
}

func FuzzParseSignature(f *testing.F) {
	key := minisign.GenerateKey()
	file, err := key.Sign(strings.NewReader("a release"), "comment")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add("untrusted comment: x\nRUQ\ntrusted comment: y\nRUQ\n")
	f.Fuzz(func(t *testing.T, file string) {
		signature, err := minisign.ParseSignature(file)
		if err != nil {
			return
		}
		// Whatever reads as a signature is one of this text by this key only if
		// the key has made it, and then says the comment that was signed.
		if key.Public().Verify(strings.NewReader("a release"), signature) == nil && signature.TrustedComment != "comment" {
			t.Errorf("verified with comment %q", signature.TrustedComment)
		}
	})
}
