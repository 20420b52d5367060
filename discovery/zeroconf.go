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
// Three of the library's methods stay unused. SetText and TTL race with its own
// goroutines. Its goodbye takes down _services._dns-sd._udp, which other boxes
// share, and an announcement under way may follow it; so its sockets are closed
// first, and the companion says goodbye.
type service struct {
	server *zeroconf.Server
	p4     *ipv4.PacketConn
	p6     *ipv6.PacketConn
}

// register starts announcing on the interface. An empty address list makes the
// library look up the interface's own for every answer.
func register(ifi net.Interface, escapedInstance, hostname string, a Announcement) (*service, error) {
	server, err := zeroconf.RegisterProxy(escapedInstance, ServiceType, domain, int(a.Port),
		hostname, nil, escapeTXT(FormatTXT(a.TXT)), []net.Interface{ifi})
	if err != nil {
		return nil, fmt.Errorf("announce on %s: %w", ifi.Name, err)
	}
	p4, p6, err := serverSockets(server)
	if err == nil {
		err = prepare(p4, p6, ifi.Index)
	}
	if err != nil {
		server.Shutdown()
		return nil, fmt.Errorf("announce on %s: %w", ifi.Name, err)
	}
	return &service{server, p4, p6}, nil
}

// stop ends the server without a word on the wire and waits for its receivers.
// A goroutine of the library that was still announcing finds its sockets closed
// and ends within four seconds.
func (s *service) stop() {
	closeSockets(s.p4, s.p6)
	s.server.Shutdown()
}

// serverSockets and resolverSockets find the connections that the library has
// no methods for; one of the two is nil where a family is not to be had. They
// are needed to confine it to its interface (Linux hands a socket the multicast
// of every interface that anybody has joined), to send with the hop limit of
// RFC 6762 §11, and to close it in silence. A test pins the fields.
func serverSockets(s *zeroconf.Server) (*ipv4.PacketConn, *ipv6.PacketConn, error) {
	return sockets(reflect.ValueOf(s))
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
	return nil, nil, errors.New("this version of zeroconf keeps its sockets elsewhere")
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
