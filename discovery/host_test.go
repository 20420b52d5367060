package discovery

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func testHost(prefixes ...string) *host {
	h := &host{name: "signalbox.local."}
	for _, p := range prefixes {
		h.iface.Addrs = append(h.iface.Addrs, netip.MustParsePrefix(p))
	}
	return h
}

func question(name string, qtype, class uint16) *dns.Msg {
	return &dns.Msg{Question: []dns.Question{{Name: name, Qtype: qtype, Qclass: class}}}
}

var (
	neighbour = asker{addr: netip.MustParseAddrPort("10.77.1.9:5353")}
	stranger  = asker{addr: netip.MustParseAddrPort("203.0.113.9:5353")}
)

func TestReplyToWhom(t *testing.T) {
	h := testHost("10.77.1.1/24", "fd77::1/64")
	const qu = dns.ClassINET | flushBit
	port := func(a asker, port uint16) asker {
		a.addr = netip.AddrPortFrom(a.addr.Addr(), port)
		return a
	}
	direct := func(a asker) asker {
		a.direct = true
		return a
	}
	for name, test := range map[string]struct {
		query                  *dns.Msg
		from                   asker
		fresh                  bool
		wantUnicast, wantGroup bool
	}{
		"ordinary":                    {question(h.name, dns.TypeA, dns.ClassINET), neighbour, true, false, true},
		"any class":                   {question(h.name, dns.TypeA, dns.ClassANY), neighbour, true, false, true},
		"unicast wanted, fresh":       {question(h.name, dns.TypeA, qu), neighbour, true, true, false},
		"unicast wanted, stale":       {question(h.name, dns.TypeA, qu), neighbour, false, false, true},
		"unicast wanted from outside": {question(h.name, dns.TypeA, qu), stranger, true, false, true},
		"sent to us alone":            {question(h.name, dns.TypeA, dns.ClassINET), direct(neighbour), false, true, false},
		"routed to us":                {question(h.name, dns.TypeA, dns.ClassINET), direct(stranger), false, false, false},
		"plain resolver":              {question(h.name, dns.TypeA, dns.ClassINET), port(neighbour, 40000), false, true, false},
		"plain resolver from outside": {question(h.name, dns.TypeA, dns.ClassINET), port(stranger, 40000), false, false, false},
		"another name":                {question("other.local.", dns.TypeA, dns.ClassINET), neighbour, true, false, false},
		"another class":               {question(h.name, dns.TypeA, dns.ClassCHAOS), neighbour, true, false, false},
		"a response":                  {&dns.Msg{MsgHdr: dns.MsgHdr{Response: true}, Question: question(h.name, dns.TypeA, 1).Question}, neighbour, true, false, false},
		"an update":                   {&dns.Msg{MsgHdr: dns.MsgHdr{Opcode: dns.OpcodeUpdate}, Question: question(h.name, dns.TypeA, 1).Question}, neighbour, true, false, false},
	} {
		unicast, multicast := h.reply(test.query, test.from, test.fresh)
		if (unicast != nil) != test.wantUnicast || (multicast != 0) != test.wantGroup {
			t.Errorf("%s: unicast %v, multicast %v, want %v, %v", name, unicast != nil, multicast != 0, test.wantUnicast, test.wantGroup)
		}
	}
}

func TestResponseSettlesTheName(t *testing.T) {
	for name, test := range map[string]struct {
		host  *host
		qtype uint16
		want  string // types of the answers, then of what is beside them
	}{
		"both, A":       {testHost("10.77.1.1/24", "fd77::1/64"), dns.TypeA, "A|AAAA"},
		"both, AAAA":    {testHost("10.77.1.1/24", "fd77::1/64"), dns.TypeAAAA, "AAAA|A"},
		"both, ANY":     {testHost("10.77.1.1/24", "fd77::1/64"), dns.TypeANY, "A AAAA|"},
		"both, HTTPS":   {testHost("10.77.1.1/24", "fd77::1/64"), dns.TypeHTTPS, "NSEC|A AAAA"},
		"two of a kind": {testHost("10.77.1.1/24", "10.77.1.2/24"), dns.TypeA, "A A|NSEC"},
		"IPv4, AAAA":    {testHost("10.77.1.1/24"), dns.TypeAAAA, "NSEC|A"},
		"IPv6, A":       {testHost("fd77::1/64"), dns.TypeA, "NSEC|AAAA"},
		"none, ANY":     {testHost(), dns.TypeANY, "NSEC|"},
	} {
		_, set := test.host.reply(question("signalbox.local.", test.qtype, dns.ClassINET), neighbour, true)
		msg := test.host.response(set, hostTTL, flushBit)
		if got := types(msg.Answer) + "|" + types(msg.Extra); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func types(list []dns.RR) string {
	var names []string
	for _, rr := range list {
		names = append(names, dns.TypeToString[rr.Header().Rrtype])
	}
	return strings.Join(names, " ")
}

// FuzzReply feeds packets to what answers them: no packet may crash it, and
// whatever it answers must fit a packet.
func FuzzReply(f *testing.F) {
	for _, q := range []*dns.Msg{
		question("signalbox.local.", dns.TypeA, dns.ClassINET|flushBit),
		question("SIGNALBOX.local.", dns.TypeANY, dns.ClassANY),
		question("signalbox.local.", dns.TypeHTTPS, dns.ClassINET),
	} {
		q.Answer = testHost("10.77.1.1/24").build(recordA|recordNSEC, hostTTL, 0)
		packed, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, uint16(mdnsPort), false)
		f.Add(packed, uint16(40000), true)
	}
	h := testHost("10.77.1.1/24", "fd77::1/64", "fe80::1/64")
	f.Fuzz(func(t *testing.T, data []byte, port uint16, direct bool) {
		var query dns.Msg
		if query.Unpack(data) != nil {
			return
		}
		from := asker{netip.AddrPortFrom(neighbour.addr.Addr(), port), direct}
		unicast, multicast := h.reply(&query, from, true)
		if from.legacy() && multicast != 0 {
			t.Errorf("a plain resolver made the box multicast: %v", &query)
		}
		msgs := []*dns.Msg{unicast}
		if multicast != 0 {
			msgs = append(msgs, h.response(multicast, hostTTL, flushBit))
		}
		for _, msg := range msgs {
			if msg == nil {
				continue
			}
			if packed, err := msg.Pack(); err != nil || len(packed) > maxPacket+len(data) {
				t.Errorf("answer to %v: %d bytes, %v", &query, len(packed), err)
			}
		}
	})
}
