package discovery

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// flushBit marks a record as the whole truth about its name and type
	// (RFC 6762 §10.2); in a question the same bit asks for a unicast answer (§5.4).
	flushBit = 1 << 15

	hostTTL = 120 * time.Second // address records, RFC 6762 §10
	// legacyTTL is the longest a resolver that knows nothing of multicast DNS
	// may keep an answer, since it hears no updates (§6.7).
	legacyTTL = 10 * time.Second
)

// records is a set of the record types of the host name.
type records uint8

const (
	recordA records = 1 << iota
	recordAAAA
	recordNSEC // says which of the others there are (§6.1)
)

// host is what one interface knows of the host name: its own addresses and no
// others, because a neighbour cannot reach those. It is not changed once made.
type host struct {
	name  string // fully qualified
	iface Interface
}

// addressTypes are the address records the host has here.
func (h *host) addressTypes() records {
	var has records
	for _, p := range h.iface.Addrs {
		if p.Addr().Is4() {
			has |= recordA
		} else {
			has |= recordAAAA
		}
	}
	return has
}

// answers tells which records answer a question, none when it is not for this
// host. A type the host does not have is denied, which spares the asker its
// time-out.
func (h *host) answers(q dns.Question) records {
	class := q.Qclass &^ flushBit
	if !strings.EqualFold(q.Name, h.name) || (class != dns.ClassINET && class != dns.ClassANY) {
		return 0
	}
	var wanted records
	switch q.Qtype {
	case dns.TypeA:
		wanted = recordA
	case dns.TypeAAAA:
		wanted = recordAAAA
	case dns.TypeANY:
		wanted = recordA | recordAAAA
	}
	if found := wanted & h.addressTypes(); found != 0 {
		return found
	}
	return recordNSEC
}

// known takes out the records that the asker holds already, for at least half
// of their life (§7.1). Of one type it is all or none: with the flush bit set,
// what is left out would be forgotten.
func (h *host) known(set records, held []dns.RR) records {
	for _, t := range []records{recordA, recordAAAA} {
		if set&t == 0 {
			continue
		}
		unheld := func(own dns.RR) bool {
			return !slices.ContainsFunc(held, func(rr dns.RR) bool {
				return rr.Header().Ttl >= seconds(hostTTL/2) && dns.IsDuplicate(rr, own)
			})
		}
		if !slices.ContainsFunc(h.build(t, hostTTL, 0), unheld) {
			set &^= t
		}
	}
	return set
}

// response is a message with the set as answers and what else there is to know
// about the host beside it, so that one packet settles the name. flush is
// flushBit or 0.
func (h *host) response(set records, ttl time.Duration, flush uint16) *dns.Msg {
	msg := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true, Authoritative: true}, Compress: true}
	msg.Answer = h.build(set, ttl, flush)
	extra := h.addressTypes()
	if extra != recordA|recordAAAA {
		extra |= recordNSEC
	}
	msg.Extra = h.build(extra&^set, ttl, flush)
	return msg
}

// goodbye are the address records with the life of none (§10.1).
func (h *host) goodbye() []dns.RR { return h.build(recordA|recordAAAA, 0, flushBit) }

func (h *host) build(set records, ttl time.Duration, flush uint16) []dns.RR {
	header := func(rrtype uint16) dns.RR_Header {
		return dns.RR_Header{Name: h.name, Rrtype: rrtype, Class: dns.ClassINET | flush, Ttl: seconds(ttl)}
	}
	var list []dns.RR
	for _, p := range h.iface.Addrs {
		if addr := p.Addr(); addr.Is4() && set&recordA != 0 {
			list = append(list, &dns.A{Hdr: header(dns.TypeA), A: addr.AsSlice()})
		} else if addr.Is6() && set&recordAAAA != 0 {
			list = append(list, &dns.AAAA{Hdr: header(dns.TypeAAAA), AAAA: addr.AsSlice()})
		}
	}
	if set&recordNSEC != 0 {
		var types []uint16
		has := h.addressTypes()
		if has&recordA != 0 {
			types = append(types, dns.TypeA)
		}
		if has&recordAAAA != 0 {
			types = append(types, dns.TypeAAAA)
		}
		list = append(list, &dns.NSEC{Hdr: header(dns.TypeNSEC), NextDomain: h.name, TypeBitMap: types})
	}
	return list
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

// asker is who sent a query, and how.
type asker struct {
	addr   netip.AddrPort
	direct bool // to this machine alone, not to the group
}

// legacy tells that the asker is a plain resolver: it did not ask from the
// multicast DNS port (§6.7).
func (a asker) legacy() bool { return a.addr.Port() != mdnsPort }

// reply decides what a query gets: a message for the asker alone, records for
// everybody, or neither. fresh says that everybody heard the records a short
// while ago, so that a request for a unicast answer can be granted (§5.4).
func (h *host) reply(query *dns.Msg, from asker, fresh bool) (unicast *dns.Msg, multicast records) {
	if query.Response || query.Opcode != dns.OpcodeQuery || query.Rcode != dns.RcodeSuccess {
		return nil, 0 // §18.3, §18.11
	}
	// Only a neighbour gets a packet sent to it: the source address of a query
	// may be forged (§5.5).
	neighbour := h.iface.onLink(from.addr.Addr())
	if !neighbour && (from.direct || from.legacy()) {
		return nil, 0
	}
	var alone, everybody records
	var matched []dns.Question
	for _, q := range query.Question {
		set := h.answers(q)
		if set == 0 {
			continue
		}
		matched = append(matched, q)
		if from.direct || from.legacy() || (neighbour && fresh && q.Qclass&flushBit != 0) {
			alone |= set
		} else {
			everybody |= set
		}
	}
	if from.legacy() {
		if alone == 0 {
			return nil, 0
		}
		msg := h.response(alone, legacyTTL, 0)
		msg.Id = query.Id
		msg.Question = matched
		return msg, 0
	}
	if alone = h.known(alone, query.Answer); alone != 0 {
		unicast = h.response(alone, hostTTL, flushBit)
	}
	return unicast, h.known(everybody, query.Answer)
}
