//go:build linux

package discovery_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"

	"signalbox/internal/netlab"
)

const (
	serviceName = "_signalbox._tcp.local."
	hostName    = "signalbox.local."
	topBit      = 1 << 15 // flush in a record, unicast wanted in a question
)

var group = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}

// heard is a DNS message that a tap received.
type heard struct {
	dns.Msg
	from      netip.AddrPort
	hops      int
	multicast bool
}

// tap is a raw multicast DNS socket on a host, for what no resolver shows.
type tap struct {
	t    *testing.T
	conn *net.UDPConn
	p4   *ipv4.PacketConn
	done sync.WaitGroup

	mu   sync.Mutex
	msgs []heard
}

// listenOn opens a tap on an interface of the host. On port 5353 it hears the
// group; on port 0 it is a plain resolver.
func listenOn(t *testing.T, h *netlab.Host, ifName string, port int) *tap {
	t.Helper()
	tp := &tap{t: t}
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName(ifName)
		if err != nil {
			return err
		}
		if port == group.Port {
			tp.conn, err = net.ListenMulticastUDP("udp4", ifi, group)
		} else {
			tp.conn, err = net.ListenUDP("udp4", nil)
		}
		if err != nil {
			return err
		}
		tp.p4 = ipv4.NewPacketConn(tp.conn)
		return errors.Join(tp.p4.SetMulticastInterface(ifi), tp.p4.SetMulticastTTL(255),
			tp.p4.SetControlMessage(ipv4.FlagDst|ipv4.FlagTTL, true))
	})
	if err != nil {
		t.Fatal(err)
	}
	tp.done.Go(tp.read)
	t.Cleanup(func() {
		tp.conn.Close()
		tp.done.Wait()
	})
	return tp
}

func (tp *tap) read() {
	buf := make([]byte, 9000)
	for {
		n, cm, from, err := tp.p4.ReadFrom(buf)
		if err != nil {
			return
		}
		h := heard{from: from.(*net.UDPAddr).AddrPort(), hops: cm.TTL, multicast: cm.Dst.IsMulticast()}
		if h.Unpack(buf[:n]) == nil && h.Response {
			tp.mu.Lock()
			tp.msgs = append(tp.msgs, h)
			tp.mu.Unlock()
		}
	}
}

// forget drops what was heard so far.
func (tp *tap) forget() {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.msgs = nil
}

// all is what was heard since.
func (tp *tap) all() []heard {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return slices.Clone(tp.msgs)
}

// ask forgets, and sends a query with one question to the group.
func (tp *tap) ask(name string, qtype, class uint16, change ...func(*dns.Msg)) {
	tp.t.Helper()
	tp.forget()
	q := &dns.Msg{Question: []dns.Question{{Name: name, Qtype: qtype, Qclass: class}}}
	for _, c := range change {
		c(q)
	}
	data, err := q.Pack()
	if err == nil {
		_, err = tp.conn.WriteToUDP(data, group)
	}
	if err != nil {
		tp.t.Fatal(err)
	}
}

// await returns the first message heard that is as wanted, nil when none is.
func (tp *tap) await(within time.Duration, ok func(*heard) bool) *heard {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, m := range tp.all() {
			if ok(&m) {
				return &m
			}
		}
	}
	return nil
}

// answer asks as ask does, again every second as RFC 6762 §5.2 has it, until a
// record of one of the types answers.
func (tp *tap) answer(name string, qtype, class uint16, change ...func(*dns.Msg)) *heard {
	tp.t.Helper()
	for range 3 {
		tp.ask(name, qtype, class, change...)
		if m := tp.await(1200*time.Millisecond, func(m *heard) bool { return len(m.Answer) > 0 }); m != nil {
			return m
		}
	}
	tp.t.Fatalf("no answer to %s %s", name, dns.TypeToString[qtype])
	return nil
}

// addrs are the addresses in all sections of a message, in order.
func (m *heard) addrs() []string {
	var list []string
	for _, rr := range append(slices.Clone(m.Answer), m.Extra...) {
		switch rr := rr.(type) {
		case *dns.A:
			list = append(list, rr.A.String())
		case *dns.AAAA:
			list = append(list, rr.AAAA.String())
		}
	}
	slices.Sort(list)
	return list
}

// find returns the first record of a type in the answers or beside them.
func (m *heard) find(rrtype uint16) dns.RR {
	for _, rr := range append(slices.Clone(m.Answer), m.Extra...) {
		if rr.Header().Rrtype == rrtype {
			return rr
		}
	}
	return nil
}
