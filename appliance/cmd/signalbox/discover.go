package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/discovery"
	"signalbox/internal/order"
)

type discoverCommand struct {
	Timeout    time.Duration `help:"How long to look." default:"3s"`
	Follow     bool          `help:"Go on until stopped, and print each change: boxes that appear, change and go."`
	Interface  []string      `help:"Interfaces to ask on; * stands for any characters. May be repeated." placeholder:"PATTERN"`
	JSON       bool          `name:"json" help:"Print JSON: one list, or with --follow one object per line." xor:"form"`
	Prometheus bool          `name:"prometheus" help:"Print targets for file_sd_configs of Prometheus." xor:"form"`
}

// Run fails when no box was found, so that scripts can ask.
func (c *discoverCommand) Run(p *program) error {
	if c.Timeout <= 0 {
		return usage("got --timeout %v, want more than 0s", c.Timeout)
	}
	opts := discovery.BrowseOptions{Interfaces: c.Interface}
	if err := anyInterface(opts); err != nil {
		return err
	}
	if c.Follow && c.Prometheus {
		return usage("--prometheus prints one list, and cannot --follow")
	}
	if c.Follow {
		return c.follow(p, opts)
	}
	ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
	defer cancel()
	boxes := []discovery.Box{}
	for event := range discovery.Browse(ctx, opts) {
		boxes = apply(boxes, event)
	}
	order.By(boxes, func(a, b discovery.Box) int { return strings.Compare(a.Instance, b.Instance) })
	var err error
	switch {
	case c.JSON:
		err = printJSON(p.stdout, boxes)
	case c.Prometheus:
		err = printJSON(p.stdout, scrapeTargets(boxes))
	default:
		err = printBoxes(p, boxes)
	}
	if err != nil {
		return err
	}
	if len(boxes) == 0 {
		return fmt.Errorf("no box answered within %v", c.Timeout)
	}
	return nil
}

// apply keeps boxes what is in sight after event.
func apply(boxes []discovery.Box, event discovery.Event) []discovery.Box {
	boxes = slices.DeleteFunc(boxes, func(b discovery.Box) bool { return b.Instance == event.Box.Instance })
	if event.Kind == discovery.Removed {
		return boxes
	}
	return append(boxes, event.Box)
}

func (c *discoverCommand) follow(p *program, opts discovery.BrowseOptions) error {
	encoder := json.NewEncoder(p.stdout)
	for event := range discovery.Browse(p.ctx, opts) {
		var err error
		if c.JSON {
			err = encoder.Encode(event)
		} else {
			_, err = fmt.Fprintf(p.stdout, "%-8v %s\n", event.Kind, plain(event.Box.Instance+"  "+boxURL(event.Box)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func printBoxes(p *program, boxes []discovery.Box) error {
	if len(boxes) == 0 {
		return nil
	}
	t := newTable(p.stdout, "NAME", "SITE", "ID", "VERSION", "URL")
	for _, b := range boxes {
		t.row(b.Instance, b.TXT[discovery.KeySite], b.TXT[discovery.KeyID], b.TXT[discovery.KeyVersion], boxURL(b))
	}
	return t.Flush()
}

// scrapeTarget is an entry of a file for file_sd_configs.
type scrapeTarget struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// scrapeTargets are boxes as Prometheus wants them, with the labels that the
// metrics of a cloud have, too.
func scrapeTargets(boxes []discovery.Box) []scrapeTarget {
	list := make([]scrapeTarget, len(boxes))
	for i, b := range boxes {
		scheme, rest, _ := strings.Cut(boxURL(b), "://")
		list[i] = scrapeTarget{
			Targets: []string{strings.TrimSuffix(rest, "/")},
			Labels:  map[string]string{"__scheme__": scheme, "site": b.TXT[discovery.KeySite], "box": b.TXT[discovery.KeyID]},
		}
	}
	return list
}

// boxURL is where a box can be reached: by its first address that is no
// link-local one, since those need a zone that browsers do not take.
func boxURL(b discovery.Box) string {
	host := strings.TrimSuffix(b.Host, ".")
	for _, addr := range b.Addrs {
		if !addr.IsLinkLocalUnicast() {
			host = addr.String()
			if addr.Is6() {
				host = "[" + host + "]"
			}
			break
		}
	}
	scheme := "http"
	if b.TXT[discovery.KeyFingerprint] != "" {
		scheme = "https"
	}
	return scheme + "://" + host + ":" + strconv.Itoa(int(b.Port)) + "/"
}

// anyInterface explains an empty result before anybody waits for it.
func anyInterface(opts discovery.BrowseOptions) error {
	found, err := discovery.Interfaces(opts.Interfaces, discovery.Default().IgnoreInterfaces)
	if err != nil {
		return err
	}
	var reasons []error
	for _, i := range found {
		if i.Reason == "" {
			return nil
		}
		reasons = append(reasons, fmt.Errorf("%s: %s", i.Name, i.Reason))
	}
	return errors.Join(append([]error{errors.New("no network interface to ask on")}, reasons...)...)
}
