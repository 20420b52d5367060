package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"signalbox/appliance/config"
)

var update = flag.Bool("update", false, "write packaging/signalbox.toml anew")

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "site.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDefaultIsValid(t *testing.T) {
	loaded, err := config.Load(config.Sources{File: write(t, ""), KeyFiles: true})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Store.Dir = want.Data
	if !reflect.DeepEqual(loaded.Config, want) {
		t.Errorf("got  %+v\nwant %+v", loaded.Config, want)
	}
	for _, s := range loaded.Settings() {
		if s.Source != "default" {
			t.Errorf("%s is from %v, want default", s.Key, s.Origin)
		}
	}
}

func TestProblemsOfSections(t *testing.T) {
	file := write(t, `data = ""
[http]
listen = ["8080"]
https = [":70000", ":1", ":1"]
[signaling]
ping_every = "500ms"
[turn]
relay_ports = "60000-50000"
realm = "a\"b"
[[auth.issuers]]
name = "mes"
issuer = "mes"
jwks_file = "x.json"
[[auth.issuers]]
name = "erp"
issuer = "mes"
jwks_file = "y.json"
`)
	_, err := config.Load(config.Sources{
		File: file, Environ: []string{"SIGNALBOX_AUTH_ADMISSION=closed"},
		Flags: []config.Flag{{Name: "--log-format", Key: "log.format", Value: "xml"}},
	})
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		t.Fatalf("got %v, want Problems", err)
	}
	want := []string{
		`:1: data: got "", want a folder`,
		`:3: http.listen: got "8080", want ADDRESS:PORT or :PORT`,
		`:4: http.https: got ":70000", want ADDRESS:PORT`,
		`:4: http.https: got ":1", want each address once`,
		`:6: signaling.ping_every: got 500ms, want `,
		`:8: turn.relay_ports: got "60000-50000", want FIRST-LAST with FIRST not above LAST`,
		`:9: turn.realm: got `,
		`:16: auth.issuers[1].issuer: got "mes", want `,
	}
	for i, prefix := range want {
		if i >= len(problems) || !strings.HasPrefix(problems[i].String(), file+prefix) {
			t.Fatalf("problem %d: want %s in:\n%v", i, prefix, err)
		}
	}
	rest := problems[len(want):]
	slices.SortFunc(rest, func(a, b config.Problem) int { return strings.Compare(a.Source, b.Source) })
	if len(rest) != 2 || rest[0].String() != "--log-format: log.format: got \"xml\", want text or json" ||
		!strings.HasPrefix(rest[1].String(), "SIGNALBOX_AUTH_ADMISSION: auth.admission: got \"closed\", want ") {
		t.Errorf("got %v", rest)
	}
}

func TestFileByEnvironment(t *testing.T) {
	file := write(t, "[site]\nname = \"hall 2\"\n")
	loaded, err := config.Load(config.Sources{Environ: []string{config.EnvFile + "=" + file}})
	if err != nil || loaded.Site.Name != "hall 2" {
		t.Errorf("got %q, %v, want hall 2", loaded.Site.Name, err)
	}
	if _, err := config.Load(config.Sources{File: file + ".not", Environ: []string{config.EnvFile + "=" + file}}); err == nil {
		t.Error("a file that is not there went unnoticed")
	}
}

func TestWriteTOML(t *testing.T) {
	file := write(t, `[turn]
relay_ports = "50000-50100"
external = ["203.0.113.5"]
[store]
max_bytes = "64MiB"
[[auth.issuers]]
name = "mes"
issuer = "https://mes.example"
jwks_file = "x.json"
`)
	environ := []string{"SIGNALBOX_SITE_NAME=hall \"2\"", "SIGNALBOX_TURN_DENY_PEERS=10.0.0.0/8,192.168.7.0/24"}
	loaded, err := config.Load(config.Sources{
		File: file, Environ: environ,
		Flags: []config.Flag{{Name: "--log-level", Key: "log.level", Value: "debug"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := loaded.WriteTOML(&b); err != nil {
		t.Fatal(err)
	}
	squeezed := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{
		`relay_ports = "50000-50100" # ` + file + ":2",
		`max_bytes = "64MiB" # ` + file + ":5",
		`[[auth.issuers]] name = "mes" # ` + file + ":7",
		`name = "hall \"2\"" # SIGNALBOX_SITE_NAME`,
		`deny_peers = ["10.0.0.0/8", "192.168.7.0/24"] # SIGNALBOX_TURN_DENY_PEERS`,
		`level = "debug" # --log-level`,
		`listen = [":8080"] # default`,
		`token_ttl = "90d" # default`,
	} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("lacks %s", want)
		}
	}
	again, err := config.Load(config.Sources{File: write(t, b.String())})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Config, loaded.Config) {
		t.Errorf("read back:\ngot  %+v\nwant %+v", again.Config, loaded.Config)
	}
}

// TestSample keeps packaging/signalbox.toml what Sample writes; `go test -update` writes it.
func TestSample(t *testing.T) {
	const file = "../../packaging/signalbox.toml"
	sample := config.Sample()
	if *update {
		if err := os.WriteFile(file, []byte(sample), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(file)
	if err != nil || string(committed) != sample {
		t.Errorf("%s is not what the configuration is now (%v); run go test ./appliance/config -update", file, err)
	}
	for _, text := range []string{sample, strings.ReplaceAll(withoutTables(sample), "\n#", "\n")} {
		uncommented := strings.ReplaceAll(text, "\n ", "\n# ")
		loaded, err := config.Load(config.Sources{File: write(t, uncommented)})
		if err != nil {
			t.Fatalf("%v\n%s", err, uncommented)
		}
		want := config.Default()
		want.Store.Dir = want.Data
		if !reflect.DeepEqual(loaded.Config, want) {
			t.Errorf("the sample is not the default:\ngot  %+v\nwant %+v", loaded.Config, want)
		}
	}
}

// TestUsersAreShownWithoutSecrets holds `check --print` against a file with
// every way to give a static user of the relay.
func TestUsersAreShownWithoutSecrets(t *testing.T) {
	loaded, err := config.Load(config.Sources{File: write(t, `
[[turn.users]]
name = "plc-1"
password = "gate 7"
[[turn.users]]
name = "plc-2"
hmac_key = "0x1f243a2da78213cc05ffd224d380a86f"
`)})
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	if err := loaded.WriteTOML(&shown); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{shown.String(), fmt.Sprintf("%+v", loaded.Turn)} {
		if strings.Contains(text, "gate 7") || strings.Contains(text, "1f243a") || !strings.Contains(text, "plc-2") {
			t.Errorf("shown as:\n%s", text)
		}
	}
}

// withoutTables leaves out the blocks that stand for no default.
func withoutTables(sample string) string {
	for _, header := range []string{"#[[auth.issuers]]", "#[[turn.users]]"} {
		before, after, _ := strings.Cut(sample, header)
		_, after, _ = strings.Cut(after, "\n\n")
		sample = before + "\n\n" + after
	}
	return sample
}
