package turn

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

var (
	oldSecret = []byte("the secret of last year")
	newSecret = []byte("the secret of this year")
)

// signedWith makes what prove asks: whether a key is that of a credential.
func signedWith(username, password string) func([]byte) bool {
	m := stun.MustBuild(stun.TransactionID, allocateRequest, stun.MessageIntegrity(longTermKey(username, "signalbox", password)))
	return func(key []byte) bool { return stun.MessageIntegrity(key).Check(m) == nil }
}

func keyringOf(t *testing.T, outside [][]byte, secrets ...Secret) *keyring {
	t.Helper()
	users, err := userKeys([]User{
		{Name: "plc-1", Password: "gate 7"},
		// echo -n plc-2:signalbox:gate 8 | md5sum
		{Name: "plc-2", Key: "0x1f243a2da78213cc05ffd224d380a86f"},
	}, "signalbox")
	if err != nil {
		t.Fatal(err)
	}
	k, err := newKeyring("signalbox", secrets, users, outside)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestProve(t *testing.T) {
	now := time.Unix(1700000000, 0)
	later := now.Add(time.Hour)
	outside := []byte("app server")
	k := keyringOf(t, [][]byte{outside}, Secret{Key: newSecret}, Secret{Key: oldSecret, Until: now.Add(time.Minute)})
	for _, test := range []struct {
		what string
		made Credential
		at   time.Time
		user string // "": refused
	}{
		{"newest secret", NewCredential(newSecret, "cam", later), now, "cam"},
		{"older secret", NewCredential(oldSecret, "cam", later), now, "cam"},
		{"older secret after its end", NewCredential(oldSecret, "cam", later), now.Add(2 * time.Minute), ""},
		{"outside secret", NewCredential(outside, "cam", later), now, "cam"},
		{"unknown secret", NewCredential([]byte("some other secret"), "cam", later), now, ""},
		{"stamped", NewStamped(newSecret, "line:cam", "g1", now, later), now, "line:cam"},
		{"stamp made up outside", NewStamped(outside, "cam", "g1", now, later), now, "~1700000000.g1:cam"},
		{"stamp without a subject", NewCredential(newSecret, "~1700000000:", later), now, "~1700000000:"},
		{"static user", Credential{Username: "plc-1", Password: "gate 7"}, now, "plc-1"},
		{"static user with another password", Credential{Username: "plc-1", Password: "gate 8"}, now, ""},
		{"unknown user", Credential{Username: "plc-3", Password: "gate 7"}, now, ""},
	} {
		id, ok := k.prove(test.made.Username, nil, test.at, signedWith(test.made.Username, test.made.Password))
		if got := userOf(id, ok); got != test.user {
			t.Errorf("%s: user %q, want %q", test.what, got, test.user)
		}
	}
}

func userOf(id *identity, ok bool) string {
	if !ok {
		return ""
	}
	return id.user
}

// A static user may be given by the key that coturn's tools print.
func TestUserKey(t *testing.T) {
	fromPassword := longTermKey("plc-2", "signalbox", "gate 8")
	fromHex, err := User{Name: "plc-2", Key: "1F243A2DA78213CC05FFD224D380A86F"}.key("signalbox")
	if err != nil || string(fromHex) != string(fromPassword) {
		t.Fatalf("key in hexadecimal is %x, %v, want %x", fromHex, err, fromPassword)
	}
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte("gate 8\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile, err := User{Name: "plc-2", PasswordFile: path}.key("signalbox")
	if err != nil || string(fromFile) != string(fromPassword) {
		t.Errorf("key of a password file is %x, %v, want %x", fromFile, err, fromPassword)
	}
	if err := os.WriteFile(path, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (User{Name: "plc-2", PasswordFile: path}).key("signalbox"); err == nil {
		t.Error("a password of two lines is accepted")
	}
}

// Each way of being signed in, against a revocation at second 1700000000.
func TestRevoked(t *testing.T) {
	at := time.Unix(1700000000, 0)
	later := at.Add(time.Hour)
	outside := []byte("app server")
	for _, test := range []struct {
		what string
		made Credential
		want bool // still in
	}{
		{"made before", NewStamped(newSecret, "cam", "", at.Add(-time.Hour), later), false},
		{"made in that second", NewStamped(newSecret, "cam", "", at, later), false},
		{"made after", NewStamped(newSecret, "cam", "", at.Add(time.Second), later), true},
		{"made before for another", NewStamped(newSecret, "cam-2", "", at.Add(-time.Hour), later), true},
		{"without a stamp", NewCredential(newSecret, "cam", later), false},
		{"outside", NewCredential(outside, "cam", later), false},
		{"outside with a stamp", NewStamped(outside, "cam", "", later, later), true}, // of ~1700003600:cam
		{"outside for another", NewCredential(outside, "cam-2", later), true},
		{"revoked grant", NewStamped(newSecret, "cam-2", "g1", later, later), false},
		{"other grant", NewStamped(newSecret, "cam-2", "g2", at, later), true},
		{"static user", Credential{Username: "plc-1", Password: "gate 7"}, false},
	} {
		k := keyringOf(t, [][]byte{outside}, Secret{Key: newSecret})
		signed := signedWith(test.made.Username, test.made.Password)
		held, ok := k.prove(test.made.Username, nil, at, signed)
		if !ok {
			t.Fatalf("%s: refused before the revocation", test.what)
		}
		list, err := newRevoked([]Revocation{{Subject: "cam", Before: at}, {Subject: "plc-1", Before: at}, {Grant: "g1"}})
		if err != nil {
			t.Fatal(err)
		}
		k.revoked.Store(list)
		for _, owner := range []*identity{nil, held} {
			if _, ok := k.prove(test.made.Username, owner, at, signed); ok != test.want {
				t.Errorf("%s: accepted = %v, want %v, as the owner of a call %v", test.what, ok, test.want, owner != nil)
			}
		}
		k.revoked.Store(new(revoked))
		if _, ok := k.prove(test.made.Username, nil, at, signed); !ok {
			t.Errorf("%s: refused after the revocation was lifted", test.what)
		}
	}
}

func TestRevocationsAreBounded(t *testing.T) {
	if _, err := newRevoked(make([]Revocation, MaxRevocations)); err != nil {
		t.Error(err)
	}
	if _, err := newRevoked(make([]Revocation, MaxRevocations+1)); err == nil {
		t.Errorf("%d revocations are accepted", MaxRevocations+1)
	}
}

func TestSecretsAreBounded(t *testing.T) {
	k := keyringOf(t, [][]byte{[]byte("app server")}, Secret{Key: newSecret})
	secrets := make([]Secret, MaxSecrets)
	for i := range secrets {
		secrets[i].Key = newSecret
	}
	if err := k.set(secrets[:MaxSecrets-1]); err != nil {
		t.Error(err)
	}
	for what, list := range map[string][]Secret{"too many": secrets, "none": nil, "short": {{Key: []byte("short")}}} {
		if err := k.set(list); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func TestSecretFilesChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	write("north gate\n", time.Hour)
	f := secretFiles{paths: []string{path}}
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what, text string
		changed    bool
		failed     bool
		want       string
	}{
		{"the same", "north gate\n", false, false, "north gate"},
		{"a new secret", "south gate\r\n", true, false, "south gate"},
		{"a short one", "south", false, true, "south gate"},
		{"a short one, looked at again", "south", false, false, "south gate"}, // told once
		{"two lines", "south gate\nnorth gate\n", false, false, "south gate"},
		{"a good one again", "eastern gate", true, false, "eastern gate"},
		{"too long", strings.Repeat("x", 5000), false, true, "eastern gate"},
	} {
		write(step.text, time.Minute)
		changed, err := f.look(0, time.Now())
		if changed != step.changed || (err != nil) != step.failed {
			t.Errorf("%s: changed %v, error %v", step.what, changed, err)
		}
		if got := string(f.secrets()[0]); got != step.want {
			t.Errorf("%s: %q is in force, want %q", step.what, got, step.want)
		}
	}
	if err := (&secretFiles{paths: []string{path + "-not"}}).load(); err == nil {
		t.Error("a file that is not there is accepted at the start")
	}
}

func FuzzParseStamp(f *testing.F) {
	for _, text := range []string{"~1700000000:cam", "~1700000000.g1:cam", "~.:x", "~1:", "cam", "~5.:x", "~1.ä:x", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		issued, grant, subject := parseStamp(text)
		if issued == 0 && grant == "" {
			return
		}
		made := NewStamped(newSecret, subject, grant, time.Unix(issued, 0), time.Unix(0, 0))
		again, grant2, subject2 := parseStamp(strings.TrimPrefix(made.Username, "0:"))
		if again != issued || grant2 != grant || subject2 != subject {
			t.Errorf("parseStamp(%q) = %d %q %q, and of what that makes %d %q %q", text, issued, grant, subject, again, grant2, subject2)
		}
	})
}
