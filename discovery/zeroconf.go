package discovery

import (
	"errors"
	"fmt"
	"net"
	"reflect"

	"github.com/grandcat/zeroconf"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// service is a zeroconf server on one interface: it announces the PTR, SRV and
// TXT records of the box and answers questions for them, always with the
// addresses the interface has at that moment.
//
// Nothing but RegisterProxy is used of the library. SetText and TTL race with
// its own goroutines. Shutdown races with its receivers when they are just
// starting; its goodbye takes down _services._dns-sd._udp, which other boxes
// share; and an announcement under way may follow that goodbye. So a service
// ends without a word, and the companion says goodbye.
type service struct {
	p4   *ipv4.PacketConn // nil where the family is not to be had
	p6   *ipv6.PacketConn
	quit chan struct{} // closed: the receivers end with their sockets
}

// register starts announcing on the interface. An empty address list makes the
// library look up the interface's own for every answer.
func register(ifi net.Interface, escapedInstance, hostname string, a Announcement) (*service, error) {
	server, err := zeroconf.RegisterProxy(escapedInstance, ServiceType, domain, int(a.Port),
		hostname, nil, escapeTXT(FormatTXT(a.TXT)), []net.Interface{ifi})
	if err != nil {
		return nil, fmt.Errorf("announce on %s: %w", ifi.Name, err)
	}
	s, err := openService(server)
	if err != nil {
		server.Shutdown()
		return nil, err
	}
	if err := prepare(s.p4, s.p6, ifi.Index); err != nil {
		s.stop()
		return nil, fmt.Errorf("announce on %s: %w", ifi.Name, err)
	}
	return s, nil
}

// stop ends the receivers, and cuts off the goroutine of the library that may
// still be announcing: it finds its sockets closed and ends within four seconds.
func (s *service) stop() {
	close(s.quit)
	closeSockets(s.p4, s.p6)
}

// errZeroconf means that the library has been exchanged for another version; a
// test fails then.
var errZeroconf = errors.New("this version of zeroconf keeps its sockets elsewhere; build with v1.0.0")

// openService and resolverSockets reach for what the library has no methods
// for. Its sockets must be confined to their interface (Linux hands a socket the
// multicast of every interface that anybody has joined) and must send with the
// hop limit of RFC 6762 §11.
func openService(server *zeroconf.Server) (*service, error) {
	v := reflect.ValueOf(server)
	p4, p6, err := sockets(v)
	if err != nil {
		return nil, err
	}
	quit := v.Elem().FieldByName("shouldShutdown")
	if !quit.IsValid() || quit.Type() != reflect.TypeFor[chan struct{}]() {
		return nil, errZeroconf
	}
	return &service{p4, p6, *(*chan struct{})(quit.Addr().UnsafePointer())}, nil
}

func resolverSockets(r *zeroconf.Resolver) (*ipv4.PacketConn, *ipv6.PacketConn, error) {
	return sockets(reflect.ValueOf(r).Elem().FieldByName("c"))
}

func sockets(owner reflect.Value) (*ipv4.PacketConn, *ipv6.PacketConn, error) {
	if owner.IsValid() && owner.Kind() == reflect.Pointer {
		p4, p6 := owner.Elem().FieldByName("ipv4conn"), owner.Elem().FieldByName("ipv6conn")
		if p4.IsValid() && p4.Type() == reflect.TypeFor[*ipv4.PacketConn]() &&
			p6.IsValid() && p6.Type() == reflect.TypeFor[*ipv6.PacketConn]() {
			return (*ipv4.PacketConn)(p4.UnsafePointer()), (*ipv6.PacketConn)(p6.UnsafePointer()), nil
		}
	}
	return nil, nil, errZeroconf
}

// closeSockets closes what there is of a pair.
func closeSockets(p4 *ipv4.PacketConn, p6 *ipv6.PacketConn) {
	if p4 != nil {
		p4.Close()
	}
	if p6 != nil {
		p6.Close()
	}
}
