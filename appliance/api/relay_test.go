package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"signalbox/appliance/api"
)

// allocations is a relay with six allocations of two users.
type allocations struct {
	mu       sync.Mutex
	ended    []uint64
	draining bool
}

func (r *allocations) Allocations() []api.Allocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []api.Allocation
	for id := uint64(1); id <= 6; id++ {
		if !slices.Contains(r.ended, id) {
			list = append(list, api.Allocation{
				ID: id, User: userOf(id), Transport: "udp", Client: "10.0.0.9:5000", Server: "10.0.0.5:3478",
				Relayed: []string{"10.0.0.5:49152"}, Channels: []api.Channel{{Number: 0x4000, Peer: "10.0.0.8:6000"}},
				Sent: api.Traffic{Packets: 3, Bytes: 300}, Created: time.Now().Add(-time.Minute), Expires: time.Now().Add(time.Minute),
			})
		}
	}
	return list
}

// userOf gives the second user a name that a path has to encode.
func userOf(id uint64) string { return []string{"hall/cam 7", "cam-8"}[id%2] }

func (r *allocations) Users() []api.RelayUser {
	return []api.RelayUser{{User: "cam-8", Allocations: 3, Sent: api.Traffic{Packets: 9, Bytes: 900}}}
}

func (r *allocations) End(id uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id == 0 || id > 6 || slices.Contains(r.ended, id) {
		return false
	}
	r.ended = append(r.ended, id)
	return true
}

func (r *allocations) EndUser(user string) (n int) {
	for id := uint64(1); id <= 6; id++ {
		if userOf(id) == user && r.End(id) {
			n++
		}
	}
	return n
}

func (r *allocations) Drain(on, stop bool) api.DrainState {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = on
	return api.DrainState{Draining: on, Stop: stop, Allocations: 6 - len(r.ended)}
}

func idsOf(list api.AllocationList) []uint64 {
	var ids []uint64
	for _, a := range list.Allocations {
		ids = append(ids, a.ID)
	}
	return ids
}

func TestAllocationsAreListed(t *testing.T) {
	b := newBox(t)
	for query, test := range map[string]struct {
		ids  []uint64
		next uint64
	}{
		"":                             {[]uint64{1, 2, 3, 4, 5, 6}, 0},
		"?user=cam-8":                  {[]uint64{1, 3, 5}, 0},
		"?user=hall%2Fcam%207&limit=2": {[]uint64{2, 4}, 4},
		"?user=hall%2Fcam%207&after=4": {[]uint64{6}, 0},
		"?user=nobody":                 {nil, 0},
		"?limit=4":                     {[]uint64{1, 2, 3, 4}, 4},
		"?limit=6":                     {[]uint64{1, 2, 3, 4, 5, 6}, 0},
		"?after=18446744073709551615":  {nil, 0},
		"?user=&limit=1000":            {nil, 0},
	} {
		got := want[api.AllocationList](b.do("GET", "/v1/relay/allocations"+query, bearer(b.admin)), http.StatusOK)
		if !slices.Equal(idsOf(got), test.ids) || got.Next != test.next {
			t.Errorf("%q gives %v and next %d, want %v and %d", query, idsOf(got), got.Next, test.ids, test.next)
		}
	}
	got := want[api.AllocationList](b.do("GET", "/v1/relay/allocations", bearer(b.admin)), http.StatusOK).Allocations[0]
	if got.AgeSeconds != 60 || got.Permissions == nil || got.Created.Location() != time.UTC || got.Sent.Bytes != 300 {
		t.Errorf("allocation %+v, want its age, an empty list of permissions and times in UTC", got)
	}
	users := want[api.RelayUserList](b.do("GET", "/v1/relay/users", bearer(b.admin)), http.StatusOK)
	if len(users.Users) != 1 || users.Users[0].Sent.Bytes != 900 {
		t.Errorf("users %+v", users)
	}
	for query, field := range map[string]string{"limit=0": "limit", "limit=1001": "limit", "after=x": "after", "usr=x": "usr"} {
		fault := b.do("GET", "/v1/relay/allocations?"+query, bearer(b.admin)).refused(http.StatusBadRequest, "bad_request", field)
		if fault.Field != field {
			t.Errorf("%s is a fault of field %q, want %q", query, fault.Field, field)
		}
	}
}

func TestAllocationsAreEnded(t *testing.T) {
	b := newBox(t)
	boss := bearer(b.admin)
	b.do("DELETE", "/v1/relay/allocations/3", boss).empty()
	for _, id := range []string{"3", "7", "-1", "x", "18446744073709551616"} {
		b.do("DELETE", "/v1/relay/allocations/"+id, boss).
			refused(http.StatusNotFound, "allocation_not_found", fmt.Sprintf("%q; it may have ended by itself", id))
	}
	ended := want[api.AllocationsEnded](b.do("DELETE", "/v1/relay/users/hall%2Fcam%207/allocations", boss), http.StatusOK)
	if ended.Ended != 3 {
		t.Errorf("ended %d, want 3", ended.Ended)
	}
	b.do("DELETE", "/v1/relay/users/hall%2Fcam%207/allocations", boss).refused(http.StatusNotFound, "allocation_not_found", `"hall/cam 7" has no allocation`)
	left := want[api.AllocationList](b.do("GET", "/v1/relay/allocations", boss), http.StatusOK)
	if !slices.Equal(idsOf(left), []uint64{1, 5}) {
		t.Errorf("left are %v, want 1 and 5", idsOf(left))
	}
}

func TestDrain(t *testing.T) {
	b := newBox(t)
	drain := func(text string) answer { return b.do("POST", "/v1/relay/drain", bearer(b.admin), body("%s", text)) }
	for text, w := range map[string]api.DrainState{
		`{"drain":true}`:               {Draining: true, Allocations: 6},
		`{"drain":true,"stop":true}`:   {Draining: true, Stop: true, Allocations: 6},
		`{"drain":false,"stop":false}`: {Allocations: 6},
	} {
		if got := want[api.DrainState](drain(text), http.StatusOK); got != w {
			t.Errorf("%s gives %+v, want %+v", text, got, w)
		}
	}
	drain(`{}`).refused(http.StatusBadRequest, "bad_request", "drain is missing")
	drain(`{"drain":false,"stop":true}`).refused(http.StatusBadRequest, "bad_request", "once its relay is drained")
	drain(`{"drain":"yes"}`).refused(http.StatusBadRequest, "bad_request", "want true or false")
}

// Where no relay runs there are no allocations, and nothing to drain.
func TestAllocationsWithoutARelay(t *testing.T) {
	b := newBox(t, func(c *api.Config) { c.Allocations = nil })
	boss := bearer(b.admin)
	if got := b.do("GET", "/v1/relay/allocations", boss); string(got.body) != "{\"allocations\":[]}\n" {
		t.Errorf("allocations %q, want an empty list", got.body)
	}
	if got := b.do("GET", "/v1/relay/users", boss); string(got.body) != "{\"users\":[]}\n" {
		t.Errorf("users %q, want an empty list", got.body)
	}
	b.do("DELETE", "/v1/relay/allocations/1", boss).refused(http.StatusNotFound, "allocation_not_found", "")
	b.do("DELETE", "/v1/relay/users/cam-8/allocations", boss).refused(http.StatusNotFound, "allocation_not_found", "")
	b.do("POST", "/v1/relay/drain", boss, body(`{"drain":true}`)).refused(http.StatusServiceUnavailable, "unavailable", "start the box first")
}
