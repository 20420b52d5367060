package appliance

import (
	"strconv"
)

// The relay's metrics. METRICS.md lists them; nothing is labelled by user, and
// every label has all its values from the start.
var (
	descAllocations     = metric("turn_allocations", "Allocations on the relay.")
	descTurnUsers       = metric("turn_users", "Subjects that have an allocation.")
	descTurnConns       = metric("turn_conns", "Open TCP and TLS connections to the relay.")
	descTurnDraining    = metric("turn_draining", "1 while the relay makes no new allocations.")
	descAllocated       = metric("turn_allocations_total", "Allocations made.")
	descBindings        = metric("turn_bindings_total", "STUN Binding requests answered.")
	descRelayPackets    = metric("turn_relayed_packets_total", "Packets relayed, by direction and by the transport of the client.", "direction", "transport")
	descRelayBytes      = metric("turn_relayed_bytes_total", "Payload bytes relayed, by direction and by the transport of the client.", "direction", "transport")
	descSegmented       = metric("turn_segmented_packets_total", "Packets of those relayed that went out as part of a segmented send (UDP GSO).")
	descTurnRefused     = metric("turn_refused_total", "Error responses of the relay, by STUN error code.", "code")
	descRefusedDraining = metric("turn_refused_draining_total", "Allocates refused with 508 because the relay drains.")
	descWrongCredential = metric("turn_refused_credentials_total", "Requests refused with 401 because their credential is wrong or has expired.")
	descTurnDropped     = metric("turn_dropped_total", "Messages and datagrams dropped by the relay, by reason.", "reason")
	descTurnClosed      = metric("turn_closed_total", "TCP and TLS connections to the relay that ended, by reason.", "reason")
	descForgotten       = metric("turn_quotas_forgotten_total", "Users and sources whose used up quotas the relay forgot, for want of room.")
	descAcceptErrors    = metric("turn_accept_errors_total", "Errors of the relay's TCP listeners, each survived.")
	descReadErrors      = metric("turn_read_errors_total", "Errors of the relay's UDP sockets, each survived.")
	descOverflowed      = metric("turn_overflowed_total", "Datagrams that the kernel dropped because the buffer of a UDP socket of the relay was full.")
)

func (c collector) collectRelay(gauge emit[float64], count emit[uint64]) {
	st := c.relay.Stats()
	gauge(descAllocations, float64(st.Allocations))
	gauge(descTurnUsers, float64(st.Users))
	gauge(descTurnConns, float64(st.Conns))
	draining := 0.0
	if st.Draining {
		draining = 1
	}
	gauge(descTurnDraining, draining)
	count(descAllocated, st.Created)
	count(descBindings, st.Bindings)
	for transport, f := range st.Relayed {
		count(descRelayPackets, f.ToPeers.Packets, "to_peers", transport)
		count(descRelayPackets, f.ToClients.Packets, "to_clients", transport)
		count(descRelayBytes, f.ToPeers.Bytes, "to_peers", transport)
		count(descRelayBytes, f.ToClients.Bytes, "to_clients", transport)
	}
	count(descSegmented, st.Segmented)
	for code, n := range st.Refused {
		count(descTurnRefused, n, strconv.Itoa(code))
	}
	count(descRefusedDraining, st.RefusedDraining)
	count(descWrongCredential, st.RefusedCredentials)
	each(count, descTurnDropped, st.Dropped)
	each(count, descTurnClosed, st.Closed)
	count(descForgotten, st.QuotasForgotten)
	count(descAcceptErrors, st.AcceptErrors)
	count(descReadErrors, st.ReadErrors)
	count(descOverflowed, st.Overflowed)
}
