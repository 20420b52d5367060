package dashboard_test

import (
	"net/http"
	"testing"
	"time"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/wire"
)

// TestDevicesFollowSessions: devices of today are counted again when a session
// was opened, long before it is their turn.
func TestDevicesFollowSessions(t *testing.T) {
	t.Parallel()
	town := newTown()
	id := town.addBox("plant", "b1")
	n := start(t, newBroker(t), town)
	viewer, _, _ := n.keys()
	shows := func(devices int64) func() bool {
		return func() bool {
			o := want[dashboard.Overview](n.do("GET", "/v1/overview", bearer(viewer)), http.StatusOK)
			return len(o.Sites) == 1 && o.Sites[0].Devices == devices
		}
	}
	n.until("devices are counted", shows(20))
	town.mu.Lock()
	town.visitors = 3
	town.mu.Unlock()
	newer := healthy(id, time.Now().UTC())
	newer.Totals = []dashboard.Counted{{ID: wire.SessionsOpened, Value: 103}}
	town.tell(newer)
	n.until("three more came", shows(23))
}
