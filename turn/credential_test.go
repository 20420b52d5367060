package turn

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The password is what coturn computes for the same secret and username:
// echo -n 1700000000:cam-7 | openssl dgst -sha1 -hmac "north gate" -binary | base64
func TestCredential(t *testing.T) {
	c := NewCredential([]byte("north gate"), "cam-7", time.Unix(1700000000, 5))
	if c.Username != "1700000000:cam-7" || c.Password != "kIuPqMiFsAO2F/zFFRiTp5J2eWU=" {
		t.Errorf("got %s %s", c.Username, c.Password)
	}
	if !c.Expires.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("expires %v", c.Expires)
	}
}

func TestCredentialHidesPassword(t *testing.T) {
	c := NewCredential([]byte("north gate"), "cam-7", time.Now())
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("issued", "user", c)
	for _, printed := range []string{log.String(), fmt.Sprint(c), fmt.Sprintf("%+v %#v %s %x %v", c, c, c, c, &c)} {
		if strings.Contains(printed, c.Password) || !strings.Contains(printed, "[redacted]") {
			t.Errorf("printed as %s", printed)
		}
	}
}

func TestParseUsername(t *testing.T) {
	for username, want := range map[string]string{
		"1700000000:cam-7":      "1700000000 cam-7",
		"1700000000:line-3:cam": "1700000000 line-3:cam",
		"1700000000:":           "",
		"1700000000":            "",
		"cam-7:1700000000":      "",
		"-5:cam-7":              "",
		":cam-7":                "",
		"9223372036854775808:x": "", // beyond time_t
		"":                      "",
	} {
		got := ""
		if expires, subject, ok := parseUsername(username); ok {
			got = fmt.Sprintf("%d %s", expires.Unix(), subject)
		}
		if got != want {
			t.Errorf("parseUsername(%q): got %q, want %q", username, got, want)
		}
	}
}

func TestNonces(t *testing.T) {
	n, now := newNonces(), time.Now()
	client := netip.MustParseAddrPort("192.168.1.77:5000")
	nonce := n.issue(client, now)
	if len(nonce) != 16 {
		t.Errorf("nonce of %d characters; the challenge must stay small", len(nonce))
	}
	forged := "A" + nonce[1:]
	if forged == nonce {
		forged = "B" + nonce[1:]
	}
	for _, test := range []struct {
		what   string
		nonce  string
		client string
		at     time.Duration

		genuine, fresh bool
	}{
		{"at once", nonce, "192.168.1.77:5000", 0, true, true},
		{"after 59 minutes", nonce, "192.168.1.77:5000", 59 * time.Minute, true, true},
		{"after 61 minutes", nonce, "192.168.1.77:5000", 61 * time.Minute, true, false},
		{"clock set back a day", nonce, "192.168.1.77:5000", -24 * time.Hour, true, false},
		{"other port", nonce, "192.168.1.77:5001", 0, false, false},
		{"other address", nonce, "192.168.1.78:5000", 0, false, false},
		{"forged", forged, "192.168.1.77:5000", 0, false, false},
		{"longer", nonce + "AAAA", "192.168.1.77:5000", 0, false, false},
		{"with a line break", nonce[:15] + "\n", "192.168.1.77:5000", 0, false, false},
		{"empty", "", "192.168.1.77:5000", 0, false, false},
		{"of another relay", newNonces().issue(client, now), "192.168.1.77:5000", 0, false, false},
	} {
		genuine, fresh := n.check([]byte(test.nonce), netip.MustParseAddrPort(test.client), now.Add(test.at))
		if genuine != test.genuine || fresh != test.fresh {
			t.Errorf("%s: genuine = %v, fresh = %v, want %v and %v", test.what, genuine, fresh, test.genuine, test.fresh)
		}
	}
}

func TestChallengeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := newChallengeLimit(10)
		for slot := func(addr string) any { return limit.slot(netip.MustParseAddr(addr)) }; slot("192.168.1.77") == slot("192.168.1.78") ||
			slot("192.168.1.77") == slot("fd00::1:2:3:4") || slot("192.168.1.78") == slot("fd00::1:2:3:4"); {
			limit = newChallengeLimit(10) // sources may share a slot, not in this test
		}
		answered := func(source string, n int) (count int) {
			for range n {
				if limit.allow(netip.MustParseAddr(source), time.Now()) {
					count++
				}
			}
			return count
		}
		for _, step := range []struct {
			wait   time.Duration
			source string
			want   int
		}{
			{0, "192.168.1.77", 50}, // five seconds' worth at once
			{time.Second, "192.168.1.77", 10},
			{0, "192.168.1.78", 50}, // each source for itself
			{0, "::ffff:192.168.1.78", 0},
			{0, "fd00::1:2:3:4", 50},
			{0, "fd00::9:9:9:9", 0}, // one /64, one source
			{time.Hour, "192.168.1.77", 50},
		} {
			time.Sleep(step.wait)
			if got := answered(step.source, 100); got != step.want {
				t.Errorf("%s after %v: %d answers, want %d", step.source, step.wait, got, step.want)
			}
		}
	})
}
