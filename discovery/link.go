package discovery

import (
	"log/slog"
	"net/netip"
	"slices"

	"github.com/miekg/dns"
)

// identity is how a box is called on the network.
type identity struct {
	instance string // as people see it
	hostname string // fully qualified
}

// goodbye are the records of the service with no life left (RFC 6762 §10.1).
func (id identity) goodbye(a *Announcement) []dns.RR {
	name := escapeInstance(id.instance) + "." + servicePTR
	header := func(name string, rrtype, flush uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET | flush}
	}
	return []dns.RR{
		&dns.PTR{Hdr: header(servicePTR, dns.TypePTR, 0), Ptr: name},
		&dns.SRV{Hdr: header(name, dns.TypeSRV, flushBit), Port: a.Port, Target: id.hostname},
		&dns.TXT{Hdr: header(name, dns.TypeTXT, flushBit), Txt: escapeTXT(FormatTXT(a.TXT))},
	}
}

// link is everything the box says on one interface.
type link struct {
	identity
	log       *slog.Logger
	iface     Interface
	announced *Announcement
	service   *service
	companion *companion
}

// openLink starts announcing on the interface. The companion comes first: who
// hears the announcement may ask for the host at once.
func openLink(id identity, iface Interface, a *Announcement, log *slog.Logger) (*link, error) {
	companion, err := accompany(iface, id.hostname, log)
	if err != nil {
		return nil, err
	}
	service, err := register(iface.net, escapeInstance(id.instance), id.hostname, *a)
	if err != nil {
		companion.close(nil)
		return nil, err
	}
	return &link{id, log, iface, a, service, companion}, nil
}

// fits tells whether the link can go on, or must be opened anew: its sockets are
// made for the interface's index and IP families.
func (l *link) fits(iface Interface) bool {
	return l.companion.err() == nil && l.iface.Index == iface.Index && l.iface.Name == iface.Name &&
		slices.Equal(l.iface.families(), iface.families())
}

// update makes the link say what is true now. The new service is announced
// before the old one goes, without a goodbye: nobody sees the box leave.
func (l *link) update(iface Interface, a *Announcement) error {
	if !slices.Equal(l.iface.Addrs, iface.Addrs) {
		l.companion.update(iface)
	}
	l.iface = iface
	if l.announced == a {
		return nil
	}
	service, err := register(iface.net, escapeInstance(l.instance), l.hostname, *a)
	if err != nil {
		return err
	}
	l.service.stop()
	l.service, l.announced = service, a
	return nil
}

// close leaves the interface, with a goodbye or in silence.
func (l *link) close(goodbye bool) {
	l.service.stop()
	if goodbye {
		l.companion.close(l.identity.goodbye(l.announced))
	} else {
		l.companion.close(nil)
	}
}

// addrs are the addresses the link answers with.
func (l *link) addrs() []netip.Addr {
	addrs := make([]netip.Addr, len(l.iface.Addrs))
	for i, p := range l.iface.Addrs {
		addrs[i] = p.Addr()
	}
	return addrs
}
