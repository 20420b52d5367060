//go:build linux

package discovery_test

import (
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"signalbox/internal/netlab"
)

// twoNetworks is a box with a card on each of two segments, and a neighbour on
// each. The second segment has no IPv6 addresses but link-local ones.
func twoNetworks(t *testing.T) (lab *netlab.Lab, office, plant *netlab.Host) {
	lab = netlab.New(t)
	a, b := lab.Segment("office", "10.77.1.0/24", "fd77:1::/64"), lab.Segment("plant", "10.77.2.0/24")
	box := lab.Host("box")
	box.Attach(a)
	box.Attach(b)
	office, plant = lab.Host("office"), lab.Host("plant")
	office.Attach(a)
	plant.Attach(b)
	return lab, office, plant
}

func TestHostNameOnTheWire(t *testing.T) {
	t.Parallel()
	lab, office, plant := twoNetworks(t)
	plant.Sysctl("net/ipv6/conf/all/disable_ipv6", "1")
	lab.Host("box").Sysctl("net/ipv6/conf/eth1/disable_ipv6", "1")
	box := netlab.Play(t, lab.Host("box"), "box", hall2())
	netlab.Await(box, "both interfaces", 5*time.Second, onInterfaces(2))
	atOffice, atPlant := listenOn(t, office, "eth0", 5353), listenOn(t, plant, "eth0", 5353)
	time.Sleep(2 * time.Second) // the announcements are over

	t.Run("multicast", func(t *testing.T) {
		for name, ask := range map[string]struct {
			tap  *tap
			want []string
		}{
			"office": {atOffice, []string{"10.77.1.1", "fd77:1::1"}},
			"plant":  {atPlant, []string{"10.77.2.1"}},
		} {
			m := ask.tap.answer("SignalBox.LOCAL.", dns.TypeA, dns.ClassINET, func(q *dns.Msg) { q.Id = 77 })
			if got := m.addrs(); !slices.Equal(got, ask.want) {
				t.Errorf("%s: answered %v, want %v", name, got, ask.want)
			}
			if !m.multicast || !m.Authoritative || m.Id != 0 || len(m.Question) != 0 || m.hops != 255 || m.from.Port() != 5353 {
				t.Errorf("%s: multicast %v, hops %d, from %v, header %+v, want an authoritative multicast without id or question",
					name, m.multicast, m.hops, m.from, m.MsgHdr)
			}
			if h := m.Answer[0].Header(); h.Class != dns.ClassINET|topBit || h.Ttl != 120 || h.Name != hostName {
				t.Errorf("%s: record %v, want the flush bit and 120 s", name, m.Answer[0])
			}
		}
	})
	t.Run("unicast wanted", func(t *testing.T) {
		atOffice.answer(hostName, dns.TypeA, dns.ClassINET) // now everybody has heard it
		m := atOffice.answer(hostName, dns.TypeAAAA, dns.ClassINET|topBit)
		if got := m.addrs(); m.multicast || !slices.Equal(got, []string{"10.77.1.1", "fd77:1::1"}) {
			t.Errorf("answered %v, multicast %v, want both addresses by unicast", got, m.multicast)
		}
	})
	t.Run("plain resolver", func(t *testing.T) {
		resolver := listenOn(t, plant, "eth0", 0)
		m := resolver.answer(hostName, dns.TypeA, dns.ClassINET, func(q *dns.Msg) { q.Id, q.RecursionDesired = 4711, true })
		if got := m.addrs(); m.multicast || m.Id != 4711 || len(m.Question) != 1 || !slices.Equal(got, []string{"10.77.2.1"}) {
			t.Errorf("answered %v with header %+v and questions %v, want the question back with one address",
				got, m.MsgHdr, m.Question)
		}
		if h := m.Answer[0].Header(); h.Class != dns.ClassINET || h.Ttl > 10 {
			t.Errorf("record %v, want no flush bit and at most 10 s", m.Answer[0])
		}
	})
	t.Run("denied types", func(t *testing.T) {
		for _, qtype := range []uint16{dns.TypeAAAA, dns.TypeHTTPS} {
			m := atPlant.answer(hostName, qtype, dns.ClassINET)
			nsec, ok := m.Answer[0].(*dns.NSEC)
			if !ok || !slices.Equal(nsec.TypeBitMap, []uint16{dns.TypeA}) {
				t.Errorf("%s: answered %v, want NSEC with A alone", dns.TypeToString[qtype], m.Answer)
			}
		}
	})
	t.Run("known answer", func(t *testing.T) {
		known := func(ttl uint32) func(*dns.Msg) {
			rr, _ := dns.NewRR("signalbox.local. IN A 10.77.2.1")
			rr.Header().Ttl = ttl
			return func(q *dns.Msg) { q.Answer = []dns.RR{rr} }
		}
		atPlant.answer(hostName, dns.TypeA, dns.ClassINET, known(59))
		atPlant.ask(hostName, dns.TypeA, dns.ClassINET, known(60))
		if m := atPlant.await(1300*time.Millisecond, fromHost); m != nil {
			t.Errorf("answered %v to an asker that knows it", m.Answer)
		}
	})
	t.Run("probe for the name", func(t *testing.T) {
		rr, _ := dns.NewRR("signalbox.local. 120 IN A 10.77.1.99")
		m := atOffice.answer(hostName, dns.TypeANY, dns.ClassINET|topBit, func(q *dns.Msg) { q.Ns = []dns.RR{rr} })
		if got := m.addrs(); !slices.Equal(got, []string{"10.77.1.1", "fd77:1::1"}) {
			t.Errorf("answered %v, want the name defended with both addresses", got)
		}
	})
	t.Run("pace", func(t *testing.T) {
		atOffice.forget()
		time.Sleep(1100 * time.Millisecond)
		started := time.Now()
		for range 20 {
			q, _ := (&dns.Msg{Question: []dns.Question{{Name: hostName, Qtype: dns.TypeA, Qclass: dns.ClassINET}}}).Pack()
			atOffice.conn.WriteToUDP(q, group)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(1100 * time.Millisecond)
		took := time.Since(started)
		if n := len(atOffice.all()); n < 2 || n > 1+int(took/time.Second) {
			t.Errorf("20 questions were answered %d times by multicast in %v, want at once and a second later", n, took)
		}
	})
}

// fromHost tells that a message answers for the host name.
func fromHost(m *heard) bool { return m.find(dns.TypeA) != nil || m.find(dns.TypeAAAA) != nil }

func TestEveryInterfaceSpeaksForItself(t *testing.T) {
	t.Parallel()
	lab, office, plant := twoNetworks(t)
	docker := lab.Segment("docker", "172.17.0.0/16")
	card := lab.Host("box").AttachAs("docker0", docker, "172.17.0.1")
	container := lab.Host("container")
	container.Attach(docker)
	// Another program of the box, such as avahi, has joined the group there: the
	// kernel now hands what arrives to every socket on the port.
	listenOn(t, lab.Host("box"), card.Name, 5353)

	box := netlab.Play(t, lab.Host("box"), "box", hall2())
	netlab.Await(box, "both interfaces", 5*time.Second, onInterfaces(2))
	atOffice, atPlant := listenOn(t, office, "eth0", 5353), listenOn(t, plant, "eth0", 5353)
	atContainer := listenOn(t, container, "eth0", 5353)
	time.Sleep(2 * time.Second) // the announcements are over

	for name, ask := range map[string]struct {
		tap  *tap
		want []string
	}{
		"office":    {atOffice, []string{"10.77.1.1", "fd77:1::1"}},
		"plant":     {atPlant, []string{"10.77.2.1"}},
		"container": {atContainer, nil},
	} {
		ask.tap.ask(serviceName, dns.TypePTR, dns.ClassINET)
		ask.tap.await(time.Second, func(*heard) bool { return ask.want != nil })
		time.Sleep(200 * time.Millisecond) // for what should not come
		msgs := ask.tap.all()
		if ask.want == nil {
			if len(msgs) != 0 {
				t.Errorf("%s heard %v, want silence", name, msgs)
			}
			continue
		}
		// Two servers of zeroconf run here; only that of the interface answers.
		if len(msgs) != 1 {
			t.Fatalf("%s heard %d answers, want one", name, len(msgs))
		}
		var v4 []string
		for _, addr := range msgs[0].addrs() {
			if addr[:4] != "fe80" {
				v4 = append(v4, addr)
			}
		}
		if !slices.Equal(v4, ask.want) {
			t.Errorf("%s heard addresses %v, want %v", name, v4, ask.want)
		}
	}
	for name, tap := range map[string]*tap{"office": atOffice, "container": atContainer} {
		tap.ask(hostName, dns.TypeA, dns.ClassINET)
		m := tap.await(1300*time.Millisecond, fromHost)
		if got := m != nil; got != (name == "office") {
			t.Errorf("host name answered at %s: %v", name, got)
		}
	}
}
