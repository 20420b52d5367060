package projection

import "time"

// What is kept of each box, whatever it sends.
const (
	maxIncarnations = 64        // told apart; of older ones only the sum of their counters is kept
	maxFolded       = 256       // ids of those, so that one that comes back is not counted twice
	maxRanges       = 64        // applied above the watermark; beyond, the lowest gap is given up
	maxMetrics      = 256       // counters, and as many gauges
	maxHourEnds     = 8         // incarnations within one hour
	maxRooms        = 1024      // open rooms
	maxRoomMarks    = 2048      // with those that are remembered as gone while frames are missing
	maxKinds        = 64        // kinds of alerts
	maxEvents       = 256       // past alerts
	maxBytes        = 32 << 20  // hours, points, sketches and events; the oldest go first
	maxCount        = 1<<53 - 1 // of one counter: exact in JSON, and sums of all boxes do not wrap
)

// How long it is kept, by the time of the stream.
const (
	KeepHours      = 2 * 366 * 24 * time.Hour
	KeepPoints     = 48 * time.Hour
	keepHourSketch = 35 * 24 * time.Hour // then folded into their days
)

// lateAfter is when a frame, or an event, counts as told later: two frames of
// an idle box and some way.
const lateAfter = 11 * time.Minute

// Bounds of what waits for others.
const (
	maxResults  = 4096 // outcomes of commands not yet handed on
	maxFeedings = 4096 // changed boxes a subscriber has not fetched
)
