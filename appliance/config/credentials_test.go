package config

import (
	"os"
	"path/filepath"
	"testing"
)

// Files that only root may read are read where the service manager has put them,
// wherever the configuration names them.
func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	copied := filepath.Join(dir, "credentials_relay.secret")
	if err := os.WriteFile(copied, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "box.toml")
	text := `[turn]
secret_files = ["/etc/signalbox/credentials/relay.secret", "/srv/other"]
[[turn.users]]
name = "cam"
password_file = "/etc/signalbox/credentials/relay.secret"
[[auth.issuers]]
name = "plant"
issuer = "plant"
hs256_secret_file = "/etc/signalbox/credentials/missing"
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(Sources{File: file, Environ: []string{"CREDENTIALS_DIRECTORY=" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range [][2]string{
		{loaded.Turn.SecretFiles[0], copied},
		{loaded.Turn.SecretFiles[1], "/srv/other"},
		{loaded.Turn.Users[0].PasswordFile, copied},
		{loaded.Auth.Issuers[0].HS256SecretFile, "/etc/signalbox/credentials/missing"},
	} {
		if got[0] != got[1] {
			t.Errorf("got %s, want %s", got[0], got[1])
		}
	}
	outside, err := Load(Sources{File: file})
	if err != nil || outside.Turn.SecretFiles[0] != CredentialsDir+"/relay.secret" {
		t.Errorf("outside a service: %v, %v", outside.Turn.SecretFiles, err)
	}
}
