package appliance

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"

	"signalbox/appliance/api"
	"signalbox/turn"
)

// relayed is the relay's allocations as the API sees them.
type relayed struct{ *Appliance }

func (r relayed) Allocations() []api.Allocation {
	live := r.relay.Allocations()
	list := make([]api.Allocation, len(live))
	for i, a := range live {
		list[i] = api.Allocation{
			ID: a.ID, User: a.User, Transport: a.Transport, Client: a.Client.String(), Server: a.Server.String(),
			Relayed: texts(a.Relayed), Permissions: addrTexts(a.Permissions), Channels: channelsOf(a.Channels),
			Sent: api.Traffic(a.ToPeers), Received: api.Traffic(a.ToClient), Created: a.Created, Expires: a.Expires,
		}
	}
	return list
}

func addrTexts(addrs []netip.Addr) []string {
	list := make([]string, len(addrs))
	for i, a := range addrs {
		list[i] = a.String()
	}
	return list
}

func channelsOf(channels []turn.ChannelInfo) []api.Channel {
	list := make([]api.Channel, len(channels))
	for i, c := range channels {
		list[i] = api.Channel{Number: c.Number, Peer: c.Peer.String()}
	}
	return list
}

func (r relayed) Users() []api.RelayUser {
	users := r.relay.Users()
	list := make([]api.RelayUser, len(users))
	for i, u := range users {
		list[i] = api.RelayUser{
			User: u.User, Allocations: u.Allocations, Permissions: u.Permissions, Channels: u.Channels,
			Sent: api.Traffic(u.ToPeers), Received: api.Traffic(u.ToClient),
		}
	}
	return list
}

func (r relayed) End(id uint64) bool { return r.relay.End(id) }

func (r relayed) EndUser(user string) int { return r.relay.EndUser(user) }

func (r relayed) Drain(on, stop bool) api.DrainState {
	r.relay.Drain(on)
	r.drain.ask(stop)
	return api.DrainState{Draining: on, Stop: stop, Allocations: r.relay.Stats().Allocations}
}

// drain is whether the box is to stop once its relay is drained.
type drain struct {
	stop  *atomic.Bool
	asked chan struct{} // holds one when stop may have changed
}

func newDrain() drain { return drain{stop: new(atomic.Bool), asked: make(chan struct{}, 1)} }

func (d drain) stopping() bool { return d.stop.Load() }

func (d drain) ask(stop bool) {
	d.stop.Store(stop)
	select {
	case d.asked <- struct{}{}:
	default: // who looks next sees this change too
	}
}

// errDrained ends Run, which then returns nil.
var errDrained = errors.New("the relay is drained")

// stopWhenDrained returns errDrained once the box was asked to stop with the
// last allocation and that has ended, and nil when the box stops before.
func (a *Appliance) stopWhenDrained(ctx context.Context) error {
	var drained <-chan struct{} // nil while the box is to go on
	for {
		select {
		case <-a.drain.asked:
			drained = nil
			if a.drain.stopping() {
				drained = a.relay.Drained()
			}
		case <-drained:
			a.log.Info("relay drained, box stops")
			return errDrained
		case <-ctx.Done():
			return nil
		}
	}
}
