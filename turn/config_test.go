package turn_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

func TestDefaultIsValid(t *testing.T) {
	for name, cfg := range map[string]turn.Config{"zero": {}, "default": turn.Default()} {
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s configuration: %v", name, err)
		}
	}
}

// Every fault is named, with what was written and what would be accepted.
func TestValidateNamesEveryFault(t *testing.T) {
	cfg := turn.Config{
		Listen:     []string{"3478", ":99999", "box:3478", "[fe80::1%eth0]:3478", ":3478", ":3478"},
		TLSListen:  []string{"auto", "auto:5349", ":5349", ":5349"},
		RelayPorts: turn.PortRange{First: 60000, Last: 50000},
		AllowPeers: []turn.PeerRule{
			turntest.Rule("10.1.2.3/8 port 5 user a*"), turntest.Rule("::ffff:10.0.0.0/104"), turntest.Rule("239.0.0.0/8"),
			{},
			{Network: prefix("10.0.0.0/8"), FirstPort: 9, LastPort: 8},
			{Network: prefix("10.0.0.0/8"), User: "a\n"},
		},
		DenyPeers:        []turn.PeerRule{turntest.Rule("192.168.1.7/24")},
		External:         []turn.External{{Public: netip.MustParseAddr("127.0.0.1")}, external(t, "203.0.113.5/fd00::5")},
		Interfaces:       []string{"[a"},
		IgnoreInterfaces: []string{"eth[", ""},
		Realm:            `say "hi"`,
		Users: []turn.User{
			{Name: "1700000000:cam", Password: "x"}, {Name: "plc-1", Password: "x", Key: "12"}, {Name: "plc-1", Password: "a\nb"}, {Name: "plc-2"},
		},
		SecretFiles:       []string{"a", "a", "b", "c"},
		MaxAllocations:    -1,
		MaxChallenges:     1 << 30,
		MaxChannelsTotal:  -5,
		QuotaPeriod:       time.Second,
		MaxSourceBytes:    -1,
		MaxBitRatePerUser: 7999,
	}
	err := cfg.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		`turn.listen: got "3478", want ADDRESS:PORT or :PORT in numbers, such as ":3478" or "192.168.1.5:3478"`,
		`turn.listen: got ":99999", want ADDRESS:PORT`,
		`turn.listen: got "box:3478", want ADDRESS:PORT`,
		`turn.listen: got "[fe80::1%eth0]:3478", want ADDRESS:PORT`,
		`turn.listen: got ":3478", want each address once`,
		`turn.tls_listen: got "auto:5349", want "auto", or ADDRESS:PORT or :PORT`,
		`turn.tls_listen: got ":5349", want each address once`,
		`turn.relay_ports: got "60000-50000", want FIRST-LAST with FIRST not above LAST`,
		`turn.allow_peers: got "10.1.2.3/8 port 5 user a*", want 10.0.0.0/8 port 5 user a*`,
		`turn.allow_peers: got "::ffff:10.0.0.0/104", want an IPv4 network in IPv4 notation`,
		`turn.allow_peers: got "invalid Prefix", want ADDRESS/BITS, such as "10.20.0.0/16"`,
		`turn.allow_peers: got "10.0.0.0/8 port 9-8", want ports from 1 to 65535`,
		`turn.allow_peers: got "10.0.0.0/8 user a\n", want a user pattern of at most 255 bytes of printable text`,
		`turn.deny_peers: got "192.168.1.7/24", want 192.168.1.0/24`,
		`turn.allow_peers: got "239.0.0.0/8", want a network of unicast addresses: nothing opens this one`,
		`turn.external: got "127.0.0.1", want a public unicast address`,
		`turn.external: got "203.0.113.5/fd00::5", want PUBLIC/LOCAL of one family`,
		`turn.interfaces: got "[a", want interface names`,
		`turn.ignore_interfaces: got "eth[", want interface names`,
		`turn.ignore_interfaces: got "", want interface names`,
		`turn.realm: got "say \"hi\"", want 1 to 63 printable ASCII characters`,
		`turn.users[0].name: got "1700000000:cam", want 1 to 255 bytes of printable text that do not begin like EXPIRY:SUBJECT`,
		`turn.users[1].password: got "2 of them", want exactly one of password, password_file and hmac_key`,
		`turn.users[1].hmac_key: got "[redacted]", want the MD5 of NAME:REALM:PASSWORD in 32 hexadecimal digits`,
		`turn.users[2].name: got "plc-1", want a name that users[1] does not have already`,
		`turn.users[2].password: got "[redacted]", want 1 to 255 bytes of printable text on one line`,
		`turn.users[3].password: got "0 of them", want exactly one of password`,
		`turn.secret_files: got "4 files", want at most 3`,
		`turn.secret_files: got "a", want names of files, each once`,
		`turn.max_allocations: got "-1", want 1 to 1048576`,
		`turn.max_channels_total: got "-5", want 1 to 1048576`,
		`turn.max_challenges: got "1073741824", want 1 to 1048576`,
		`turn.quota_period: got "1s", want 1m to 366d`,
		`turn.max_bytes_per_source: got "-1", want a size, or 0 for no limit`,
		`turn.max_bit_rate_per_user: got "7999bit/s", want a rate from 8kbit/s to 1000Gbit/s`,
	}
	got := strings.Split(err.Error(), "\n")
	if len(got) != len(want) {
		t.Fatalf("got %d faults, want %d:\n%v", len(got), len(want), err)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("fault %d: got %s, want %s", i, got[i], want[i])
		}
	}
}

func TestParsePortRange(t *testing.T) {
	for text, want := range map[string]string{
		"49152-65535":  "49152-65535",
		" 5000 - 5999": "5000-5999",
		"5000":         "5000-5000",
		"60000-50000":  `got "60000-50000", want FIRST-LAST with FIRST not above LAST`,
		"80-90":        `got "80-90", want FIRST-LAST with FIRST at least 1024`,
		"5000-70000":   `got "5000-70000", want FIRST-LAST in numbers up to 65535, such as "49152-65535"`,
		"":             `got "", want FIRST-LAST in numbers up to 65535, such as "49152-65535"`,
		"a-b":          `got "a-b", want FIRST-LAST in numbers up to 65535, such as "49152-65535"`,
	} {
		r, err := turn.ParsePortRange(text)
		got := r.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("ParsePortRange(%q): got %s, want %s", text, got, want)
		}
	}
}

// The section as an operator writes it.
func TestConfigFromTOML(t *testing.T) {
	var cfg turn.Config
	err := toml.Unmarshal([]byte(`
		listen = ["192.168.1.5:3478"]
		relay_ports = "50000-50999"
		allow_peers = ["10.0.0.0/8", "fd00::/8 port 5000 user cam-*"]
		external = ["203.0.113.5", "203.0.113.6/192.168.1.5"]
		max_channels = 12
	`), &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	want(t, "relay_ports", cfg.RelayPorts, turn.PortRange{First: 50000, Last: 50999})
	want(t, "relay_ports size", cfg.RelayPorts.Size(), 1000)
	want(t, "allow_peers[1]", cfg.AllowPeers[1], turntest.Rule("fd00::/8 port 5000 user cam-*"))
	want(t, "external[1]", cfg.External[1], external(t, "203.0.113.6/192.168.1.5"))
	want(t, "max_channels", cfg.MaxChannels, 12)
	again, err := toml.Marshal(cfg)
	if err != nil || !strings.Contains(string(again), `relay_ports = '50000-50999'`) {
		t.Errorf("marshalled again: %v\n%s", err, again)
	}
}

func external(t *testing.T, text string) (e turn.External) {
	t.Helper()
	if err := e.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return e
}

func FuzzPortRange(f *testing.F) {
	f.Add("49152-65535")
	f.Add("1024")
	f.Add("65535-65535")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := turn.ParsePortRange(text)
		if err != nil {
			return
		}
		if again, err := turn.ParsePortRange(r.String()); err != nil || again != r {
			t.Errorf("ParsePortRange(%q) = %v, again %v, %v", text, r, again, err)
		}
	})
}

func FuzzExternal(f *testing.F) {
	f.Add("203.0.113.5")
	f.Add("203.0.113.5/192.168.1.10")
	f.Add("fd00::1/::1")
	f.Fuzz(func(t *testing.T, text string) {
		var e, again turn.External
		if e.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(e.String())); err != nil || again != e {
			t.Errorf("%q reads as %v and that as %v, %v", text, e, again, err)
		}
	})
}

func TestOneAddressForTURNInTheClearAndByTLS(t *testing.T) {
	cfg := turn.Default()
	cfg.Listen, cfg.TLSListen = []string{":3478", "127.0.0.1:0"}, []string{":3478", "127.0.0.1:0"}
	err := cfg.Validate()
	if want := `turn.tls_listen: got ":3478", want an address that is not in turn.listen`; err == nil || err.Error() != want {
		t.Errorf("Validate = %v, want %s", err, want)
	}
}
