package main

import "runtime"

// spareProcessor gives Go's scheduler a second processor on a box of one core.
// With one alone, a loop that waits in the kernel for a packet holds the only
// processor there is, and the runtime's monitor wakes up every 20 µs to take it
// away: at 20,000 packets a second that was 6 to 8 % of the relay's cost. Where
// GOMAXPROCS is set, or there are more cores, nothing changes: the runtime then
// goes on following the limits of the control group.
func spareProcessor(p *program) {
	if p.getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
}
