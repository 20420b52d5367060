package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"signalbox/appliance/api"
)

// relayFlags are what status shows and does about the relay. At most one of
// them is given.
type relayFlags struct {
	Allocations bool    `help:"List the relay's allocations." xor:"what"`
	Users       bool    `help:"List who has allocations, and how much was relayed for them." xor:"what"`
	End         *uint64 `help:"End the allocation with this ID." placeholder:"ID" xor:"what"`
	EndUser     *string `help:"End every allocation of a user." placeholder:"NAME" xor:"what"`
	Drain       *bool   `help:"Make no new allocations; those that there are go on. --no-drain ends that." negatable:"" xor:"what"`
	Stop        bool    `help:"With --drain: stop the box, with exit code 0, when the last allocation has ended."`
}

// use does what the flags ask for; asked is false when that is nothing.
func (f relayFlags) use(p *program, box *client, asJSON bool) (asked bool, err error) {
	switch {
	case f.Allocations:
		return true, listAllocations(p, box, asJSON)
	case f.Users:
		return true, listRelayUsers(p, box, asJSON)
	case f.End != nil:
		return true, endAllocation(p, box, *f.End)
	case f.EndUser != nil:
		return true, endAllocationsOf(p, box, *f.EndUser, asJSON)
	case f.Drain != nil:
		return true, drainRelay(p, box, api.DrainChange{Drain: f.Drain, Stop: f.Stop}, asJSON)
	}
	return false, nil
}

// check refuses what cannot be meant, before the box is asked for anything.
func (f relayFlags) check() error {
	if f.Stop && (f.Drain == nil || !*f.Drain) {
		return usage("--stop goes with --drain: the box stops when its relay is drained")
	}
	return nil
}

func listAllocations(p *program, box *client, asJSON bool) error {
	all, err := allAllocations(p, box)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(p.stdout, all)
	}
	t := newTable(p.stdout, "ID", "USER", "TRANSPORT", "CLIENT", "RELAYED", "PERMISSIONS", "CHANNELS", "SENT", "RECEIVED", "AGE")
	for _, a := range all {
		t.row(a.ID, a.User, a.Transport, a.Client, strings.Join(a.Relayed, ","), permissionsText(a.Permissions), len(a.Channels),
			bytesText(int64(a.Sent.Bytes)), bytesText(int64(a.Received.Bytes)), since(a.Created))
	}
	return t.Flush()
}

// allAllocations reads page after page.
func allAllocations(p *program, box *client) ([]api.Allocation, error) {
	all := []api.Allocation{}
	query := url.Values{"limit": {"1000"}}
	for {
		var page api.AllocationList
		if err := box.call(p.ctx, http.MethodGet, "/v1/relay/allocations?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Allocations...)
		if page.Next == 0 {
			return all, nil
		}
		query.Set("after", strconv.FormatUint(page.Next, 10))
	}
}

// permissionsText keeps a client with many permissions in its line.
func permissionsText(addrs []string) string {
	const shown = 3
	switch {
	case len(addrs) == 0:
		return "none"
	case len(addrs) > shown:
		return fmt.Sprintf("%s and %d more", strings.Join(addrs[:shown], ","), len(addrs)-shown)
	}
	return strings.Join(addrs, ",")
}

func listRelayUsers(p *program, box *client, asJSON bool) error {
	var list api.RelayUserList
	if err := box.call(p.ctx, http.MethodGet, "/v1/relay/users", nil, &list); err != nil {
		return err
	}
	if asJSON {
		return printJSON(p.stdout, list.Users)
	}
	t := newTable(p.stdout, "USER", "ALLOCATIONS", "PERMISSIONS", "CHANNELS", "SENT", "RECEIVED")
	for _, u := range list.Users {
		t.row(u.User, u.Allocations, u.Permissions, u.Channels, bytesText(int64(u.Sent.Bytes)), bytesText(int64(u.Received.Bytes)))
	}
	return t.Flush()
}

func endAllocation(p *program, box *client, id uint64) error {
	err := box.call(p.ctx, http.MethodDelete, "/v1/relay/allocations/"+strconv.FormatUint(id, 10), nil, nil)
	if isNoAllocation(err) {
		return fmt.Errorf("there is no allocation %d; it may have ended by itself, signalbox status --allocations lists those there are", id)
	}
	return err
}

func endAllocationsOf(p *program, box *client, user string, asJSON bool) error {
	if user == "" {
		return usage("--end-user is empty; name a user, as signalbox status --users lists them")
	}
	var ended api.AllocationsEnded
	err := box.call(p.ctx, http.MethodDelete, "/v1/relay/users/"+url.PathEscape(user)+"/allocations", nil, &ended)
	switch {
	case isNoAllocation(err):
		return fmt.Errorf("user %q has no allocation; signalbox status --users lists who has", user)
	case err != nil:
		return err
	case asJSON:
		return printJSON(p.stdout, ended)
	}
	fmt.Fprintf(p.stdout, "ended %s\n", plural(ended.Ended, "allocation"))
	return nil
}

func isNoAllocation(err error) bool {
	r, ok := errors.AsType[*refused](err)
	return ok && r.fault.Code == "allocation_not_found"
}

func drainRelay(p *program, box *client, change api.DrainChange, asJSON bool) error {
	var state api.DrainState
	if err := box.call(p.ctx, http.MethodPost, "/v1/relay/drain", change, &state); err != nil {
		return err
	}
	if asJSON {
		return printJSON(p.stdout, state)
	}
	text := "the relay takes new allocations"
	if state.Draining {
		text = "the relay takes no new allocations; there are " + plural(state.Allocations, "allocation")
	}
	if state.Stop {
		text += ", and the box stops when the last has ended"
	}
	fmt.Fprintln(p.stdout, text)
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
