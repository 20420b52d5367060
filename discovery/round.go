package discovery

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/grandcat/zeroconf"
	"github.com/miekg/dns"
)

// round is one asking: on every interface and IP family a zeroconf resolver,
// which sends the questions and reads full answers, and an ear for what the
// resolver does not tell: goodbyes, and another TXT record of a box it has
// reported.
type round struct {
	cancel  context.CancelFunc
	working sync.WaitGroup
}

// end stops the round and waits for it. The round may be nil.
func (r *round) end() {
	if r != nil {
		r.cancel()
		r.working.Wait()
	}
}

// begin starts a round. What fails is tried again with the next.
func (o *BrowseOptions) begin(ctx context.Context, seen chan<- sighting) *round {
	ctx, cancel := context.WithCancel(ctx)
	r := &round{cancel: cancel}
	found, err := Interfaces(o.Interfaces, o.IgnoreInterfaces)
	if err != nil {
		o.Logger.Warn("browse for boxes", "err", err)
	}
	for _, iface := range found {
		if iface.Reason != "" {
			continue
		}
		for _, f := range iface.families() {
			if err := errors.Join(r.overhear(ctx, iface, f, seen), r.resolve(ctx, iface, f, seen)); err != nil {
				o.Logger.Debug("browse for boxes", "interface", iface.Name, "err", err)
			}
		}
	}
	return r
}

// resolve runs a zeroconf resolver on one interface and family, so that a
// machine without IPv6 loses nothing else, and the zone of a link-local address
// is known.
func (r *round) resolve(ctx context.Context, iface Interface, f family, seen chan<- sighting) error {
	traffic := zeroconf.IPType(zeroconf.IPv4)
	if f == ip6 {
		traffic = zeroconf.IPv6
	}
	resolver, err := zeroconf.NewResolver(
		zeroconf.SelectIfaces([]net.Interface{iface.net}), zeroconf.SelectIPTraffic(traffic))
	if err != nil {
		return err
	}
	p4, p6, err := resolverSockets(resolver)
	if err == nil {
		err = prepare(p4, p6, iface.Index)
	}
	if err != nil {
		closeSockets(p4, p6)
		return err
	}
	entries := make(chan *zeroconf.ServiceEntry)
	if err := resolver.Browse(ctx, ServiceType, domain, entries); err != nil {
		return err // it has ended what it started
	}
	r.working.Go(func() {
		// The library closes entries when ctx ends, and hangs for ever if
		// nobody reads them until then.
		for entry := range entries {
			if s, ok := sightingOf(entry, iface, f); ok {
				select {
				case seen <- s:
				case <-ctx.Done():
				}
			}
		}
	})
	return nil
}

// sightingOf translates what the library found.
func sightingOf(entry *zeroconf.ServiceEntry, iface Interface, f family) (sighting, bool) {
	instance, ok := unescapeInstance(entry.Instance)
	if !ok || entry.Port <= 0 || entry.Port > 0xffff {
		return sighting{}, false
	}
	s := sighting{
		instance: instance, source: source{iface.Index, f},
		host: strings.TrimSuffix(entry.HostName, "."), port: uint16(entry.Port),
		txt: ParseTXT(unescapeTXT(entry.Text)), ttl: time.Duration(entry.TTL) * time.Second,
	}
	for _, ip := range append(entry.AddrIPv4, entry.AddrIPv6...) {
		addr, ok := netip.AddrFromSlice(ip)
		if !ok {
			continue
		}
		addr = addr.Unmap()
		if addr.Is6() && addr.IsLinkLocalUnicast() {
			addr = addr.WithZone(iface.Name)
		}
		s.addrs = append(s.addrs, addr)
	}
	return s, len(s.addrs) > 0
}

// overhear listens on one interface and family for goodbyes and TXT records.
func (r *round) overhear(ctx context.Context, iface Interface, f family, seen chan<- sighting) error {
	c, err := listen(iface.net, f)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, c.wake)
	r.working.Go(func() {
		defer c.close()
		defer stop()
		buf := make([]byte, maxPacket)
		for ctx.Err() == nil {
			p, err := c.read(buf)
			if err != nil {
				return // the round is over, or the next one listens anew
			}
			if p.from.Port() != mdnsPort {
				continue // no response (RFC 6762 §6)
			}
			for _, s := range overheard(p.data) {
				s.source = source{iface.Index, f}
				select {
				case seen <- s:
				case <-ctx.Done():
				}
			}
		}
	})
	return nil
}

// overheard finds goodbyes and TXT records of boxes in a response.
func overheard(data []byte) []sighting {
	const responseBit = 0x80
	var msg dns.Msg
	if len(data) < 12 || data[2]&responseBit == 0 || msg.Unpack(data) != nil {
		return nil
	}
	var list []sighting
	for _, rr := range append(msg.Answer, msg.Extra...) {
		switch rr := rr.(type) {
		case *dns.PTR:
			if instance, ok := instanceOf(rr.Ptr); ok && rr.Hdr.Ttl == 0 && strings.EqualFold(rr.Hdr.Name, servicePTR) {
				list = append(list, sighting{kind: sightGoodbye, instance: instance})
			}
		case *dns.TXT:
			if instance, ok := instanceOf(rr.Hdr.Name); ok && rr.Hdr.Ttl > 0 {
				list = append(list, sighting{kind: sightTXT, instance: instance, txt: ParseTXT(unescapeTXT(rr.Txt))})
			}
		}
	}
	return list
}

// instanceOf takes the instance out of a full service name.
func instanceOf(name string) (string, bool) {
	at := len(name) - len(servicePTR) - 1
	if at < 1 || !strings.EqualFold(name[at:], "."+servicePTR) {
		return "", false
	}
	return unescapeInstance(name[:at])
}
