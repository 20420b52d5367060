package wire

// Bounds of a batch, and of each frame in it. Merge and Draft keep to them, and
// Decode refuses what does not.
const (
	MaxBatchFrames = 60
	MaxBatchBytes  = 256 << 10 // as sent
	MaxBodyBytes   = 4 << 20   // decompressed
	MaxFrameBytes  = 224 << 10 // decompressed: one always fits a batch by itself

	MaxCounters    = 256
	MaxGauges      = 256
	MaxSketches    = 32
	MaxSketchBytes = 5 << 10
	MaxRooms       = 1024
	MaxAlerts      = 256
	MaxResults     = 64

	maxIDBytes   = 64  // of a room or a command
	maxTextBytes = 256 // of each text in a Box or a Result
	// MaxSeq bounds sequence numbers, so that arithmetic on them cannot wrap.
	MaxSeq = 1 << 62
)

// Spans of a sketch, in seconds.
const (
	HourS = 3600
	DayS  = 86400
)
