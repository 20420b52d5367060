package main

import (
	_ "unsafe" // for go:linkname

	_ "github.com/nats-io/nats-server/v2/server/pse" // the sampler below
)

// usageFile is where the broker of a cloud node samples its own use of the
// processor from, once a second and from the start of the process, whether or
// not there is a broker in it. It stops for good at the first read that fails.
//
//go:linkname usageFile github.com/nats-io/nats-server/v2/server/pse.procStatFile
var usageFile string

// quiet ends that sampling in a box, which has no broker: an idle one should
// sleep. Call it within the first second.
func quiet() { usageFile = "" }
