package gateway

import (
	"time"

	"signalbox/sync/wire"
)

// postedLately is how long a box that only posts counts as connected after a
// post: it comes every five minutes at least.
const postedLately = 6 * time.Minute

// Online are the boxes that are connected to this node: with a tunnel, or by
// posts of late.
func (g *Gateway) Online() []wire.BoxID {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	online := make([]wire.BoxID, 0, len(g.boxes))
	for id, b := range g.boxes {
		posted := b.posted.Load()
		if len(b.tunnels) > 0 || posted != 0 && now.Sub(time.Unix(0, posted)) < postedLately {
			online = append(online, id)
		}
	}
	return online
}
