package api

import (
	"net/http"
	"strconv"
	"time"

	"signalbox/internal/jsonapi"
)

var allocationQuery = []jsonapi.Query{
	{Name: "user", Kind: "string", About: "Only allocations of this user."},
	{Name: "after", Kind: "integer", About: "Only allocations whose id is greater: the next of the page before."},
	{Name: "limit", Kind: "integer", About: "How many allocations at most, 1 to 1000; 200 when left out."},
}

func (a *API) listAllocations(c *call) (AllocationList, error) {
	query, err := jsonapi.ParseQuery(c.r, allocationQuery)
	if err != nil {
		return AllocationList{}, err
	}
	limit, err := pageSize(query)
	if err != nil {
		return AllocationList{}, err
	}
	after := uint64(0)
	if text, ok := query["after"]; ok {
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return AllocationList{}, jsonapi.Wrong("after", "after is %.32q; want the next of the page before", text)
		}
	}
	user, byUser := query["user"]
	list := AllocationList{Allocations: []Allocation{}}
	for _, one := range a.allocations() {
		if one.ID <= after || byUser && one.User != user {
			continue
		}
		if len(list.Allocations) == limit {
			list.Next = list.Allocations[limit-1].ID
			break
		}
		one.Relayed, one.Permissions, one.Channels = emptyList(one.Relayed), emptyList(one.Permissions), emptyList(one.Channels)
		one.Created, one.Expires = one.Created.UTC(), one.Expires.UTC()
		one.AgeSeconds = max(0, int64(time.Since(one.Created)/time.Second))
		list.Allocations = append(list.Allocations, one)
	}
	return list, nil
}

// allocations are none where no relay runs.
func (a *API) allocations() []Allocation {
	if a.cfg.Allocations == nil {
		return nil
	}
	return a.cfg.Allocations.Allocations()
}

func (a *API) listRelayUsers(*call) (RelayUserList, error) {
	list := RelayUserList{Users: []RelayUser{}}
	if a.cfg.Allocations != nil {
		list.Users = emptyList(a.cfg.Allocations.Users())
	}
	return list, nil
}

func (a *API) endAllocation(c *call) error {
	text := c.r.PathValue("id")
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil || a.cfg.Allocations == nil || !a.cfg.Allocations.End(id) {
		return jsonapi.Refuse(http.StatusNotFound, "allocation_not_found",
			"there is no allocation %.32q; it may have ended by itself, see GET /v1/relay/allocations", text)
	}
	a.log.Info("allocation ended", "alloc", id, "reason", "ended by "+c.who.Subject)
	return nil
}

func (a *API) endAllocationsOfUser(c *call) (AllocationsEnded, error) {
	user, ended := c.r.PathValue("user"), 0
	if a.cfg.Allocations != nil {
		ended = a.cfg.Allocations.EndUser(user)
	}
	if ended == 0 {
		return AllocationsEnded{}, jsonapi.Refuse(http.StatusNotFound, "allocation_not_found",
			"user %.64q has no allocation; see GET /v1/relay/users", user)
	}
	a.log.Info("allocations ended", "user", user, "reason", "ended by "+c.who.Subject)
	return AllocationsEnded{Ended: ended}, nil
}

func (a *API) drainRelay(c *call, in *DrainChange) (DrainState, error) {
	switch {
	case a.cfg.Allocations == nil:
		return DrainState{}, jsonapi.Refuse(http.StatusServiceUnavailable, "unavailable", "no relay runs here, so there is nothing to drain; start the box first")
	case in.Drain == nil:
		return DrainState{}, jsonapi.Wrong("drain", "drain is missing; send true to begin, false to take allocations again")
	case in.Stop && !*in.Drain:
		return DrainState{}, jsonapi.Wrong("stop", "stop is true and drain is false; the box stops only once its relay is drained")
	}
	a.log.Info("draining asked for", "reason", "asked by "+c.who.Subject)
	return a.cfg.Allocations.Drain(*in.Drain, in.Stop), nil
}
