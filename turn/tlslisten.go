package turn

import (
	"context"
	"net"
	"net/netip"
	"strconv"
)

const (
	turnPort = 3478 // RFC 8656 §2.1; TCP and UDP
	tlsPort  = 5349

	// autoTLS is the entry of Config.TLSListen that follows Config.Listen.
	autoTLS = "auto"
)

// TLSEntries are the addresses for TURN over TLS, each like one of Listen.
// "auto" stands for the hosts of Listen: with the port for TLS where the other
// is the usual one too, and with a free one where that is free. Beside another
// port there is none: who has moved TURN from 3478 to make room for a second
// server may have that one on 5349 too.
func (c Config) TLSEntries() []string {
	c = c.withDefaults()
	var entries []string
	for _, text := range c.TLSListen {
		if text != autoTLS {
			entries = append(entries, text)
			continue
		}
		for _, listen := range c.Listen {
			host, port, err := net.SplitHostPort(listen)
			if err != nil {
				continue // it has been validated
			}
			switch port {
			case strconv.Itoa(turnPort):
				entries = append(entries, net.JoinHostPort(host, strconv.Itoa(tlsPort)))
			case "0":
				entries = append(entries, listen)
			}
		}
	}
	return entries
}

// listenTLS binds TURN over TLS to one address. Nothing is served before the
// front's begin; its Close gives the address up, and leaves those alone who
// have connected already.
func (s *Server) listenTLS(at netip.AddrPort) (*front, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), network("tcp", at.Addr()), at.String())
	if err != nil {
		return nil, bindError(at, "tcp", "turn.tls_listen", err)
	}
	config := s.config.TLS.Clone()
	config.NextProtos = nil // nothing but TURN is spoken here
	return newFront(s, l, config, nil), nil
}

// TLSAddrs are the addresses that clients are served on over TLS. The listeners
// of Share are not among them.
func (s *Server) TLSAddrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	var addrs []netip.AddrPort
	for _, one := range s.services {
		if one.gone.IsZero() && one.secure != nil {
			addrs = append(addrs, one.at)
		}
	}
	return addrs
}
