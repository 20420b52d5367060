//go:build linux

package main

import (
	"fmt"
	"regexp"
)

// cell is one kind of traffic: a row of the table.
type cell struct {
	rate    float64 // packets per second in both directions together, 0 for all that the server can do
	flows   int
	payload int // bytes
	method  method
}

// saturatedBurst is how many datagrams a client or a peer sends in one go when
// the server is saturated, as the packets of a video frame come.
const saturatedBurst = 8

// burst is how many datagrams are sent in one go on one flow. At a fixed rate
// they come one by one, each on another flow.
func (c cell) burst() int {
	if c.rate > 0 {
		return 1
	}
	return saturatedBurst
}

func (c cell) mode() string {
	if c.rate > 0 {
		return "paced"
	}
	return "saturated"
}

// String names the cell for -only and in the table.
func (c cell) String() string {
	flows := "flows"
	if c.flows == 1 {
		flows = "flow"
	}
	return fmt.Sprintf("%s, %d %s, %d B, %s", c.mode(), c.flows, flows, c.payload, c.method)
}

// cells are all combinations whose name only matches.
func cells(only *regexp.Regexp, rate float64) []cell {
	var list []cell
	for _, rate := range []float64{0, rate} {
		for _, flows := range []int{1, 100} {
			for _, payload := range []int{160, 1200} {
				for _, m := range []method{channelData, sendData} {
					if c := (cell{rate, flows, payload, m}); only.MatchString(c.String()) {
						list = append(list, c)
					}
				}
			}
		}
	}
	return list
}
