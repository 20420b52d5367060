package identity

import (
	"testing"
	"time"
)

func TestNonce(t *testing.T) {
	key, now := make([]byte, 32), time.Now()
	nonce := newNonce(key, now)
	for _, c := range []struct {
		key  []byte
		text string
		at   time.Time
		want Reason
	}{
		{key, nonce, now, ""},
		{key, nonce, now.Add(59 * time.Second), ""},
		{key, nonce, now.Add(-9 * time.Second), ""}, // made by a node whose clock is ahead
		{key, nonce, now.Add(61 * time.Second), ReasonNonceExpired},
		{key, nonce, now.Add(-11 * time.Second), ReasonNonceExpired},
		{[]byte("another issuer's"), nonce, now, ReasonNonceForged},
		{key, nonce[:len(nonce)-1] + "!", now, ReasonNonceForged},
		{key, "", now, ReasonNonceForged},
	} {
		if got := checkNonce(c.key, c.text, c.at); got != c.want {
			t.Errorf("checkNonce(%q, %v) = %q, want %q", c.text, c.at.Sub(now), got, c.want)
		}
	}
	if newNonce(key, now) == nonce {
		t.Error("the same nonce twice")
	}
}

func FuzzCheckNonce(f *testing.F) {
	key, now := []byte("the key of this issuer"), time.Unix(1795000000, 0)
	f.Add(newNonce(key, now))
	f.Add(newNonce(nil, now))
	f.Add("AAAA")
	good := map[string]bool{}
	f.Fuzz(func(t *testing.T, text string) {
		if checkNonce(key, text, now) == "" && len(good) == 0 {
			good[text] = true // the seed
		} else if checkNonce(key, text, now) == "" && !good[text] {
			t.Errorf("%q is taken for one of ours", text)
		}
	})
}

func TestReplays(t *testing.T) {
	var r replays
	now := time.Now()
	if !r.first([]byte("a"), now) || r.first([]byte("a"), now) || !r.first([]byte("b"), now) {
		t.Error("first is not the first time")
	}
	if r.first([]byte("a"), now.Add(69*time.Second)) {
		t.Error("forgotten while its nonce could be good")
	}
	for i := range maxReplay * 2 {
		r.first([]byte{byte(i), byte(i >> 8), byte(i >> 16)}, now)
	}
	if held := len(r.now) + len(r.older); held > 2*maxReplay {
		t.Errorf("remembers %d", held)
	}
}

func TestLimiter(t *testing.T) {
	var l limiter
	now := time.Now()
	for i := range attempts {
		if wait := l.wait("a", now); wait != 0 {
			t.Fatalf("attempt %d waits %v", i, wait)
		}
		l.fail("a", now)
	}
	if wait := l.wait("a", now); wait != attemptEvery {
		t.Errorf("waits %v, want %v", wait, attemptEvery)
	}
	if l.wait("b", now) != 0 || l.wait("a", now.Add(attemptEvery)) != 0 {
		t.Error("others wait, or it is not over after its time")
	}
	for i := range 2 * maxRemembered {
		l.fail(string(rune('c'+i)), now)
	}
	if len(l.failed) > maxRemembered {
		t.Errorf("remembers %d", len(l.failed))
	}
}
