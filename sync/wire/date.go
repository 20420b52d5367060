package wire

import "time"

// earliest is the oldest wall clock that is believed: no box was built before
// it, and a clock without a battery starts in 1970 or with its firmware's year.
var earliest = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Date tells when frame ended, by the clock of the cloud. streamTime is when the
// broker took the batch whose body holds the frame.
//
// A frame of the boot in which its batch was sent needs no clock of the box: as
// much time lies between its end and the sending as its monotonic clock says.
// Any other is dated by its own wall clock if that lies between 2024 and
// streamTime, and by streamTime if not.
func Date(streamTime time.Time, body *Body, frame *Frame) time.Time {
	if frame.GetBoot() == body.GetBoot() && frame.GetMonoMs() <= body.GetMonoMs() {
		ago := min(body.GetMonoMs()-frame.GetMonoMs(), maxMonoMs)
		return streamTime.Add(-time.Duration(ago) * time.Millisecond)
	}
	wall := time.UnixMilli(frame.GetEndMs())
	if wall.Before(earliest) || wall.After(streamTime) {
		return streamTime
	}
	return wall
}

// DateStart tells when what frame spans began, given when it ended by the clock
// of the cloud. The length of the span is the box's own.
func DateStart(end time.Time, frame *Frame) time.Time {
	return end.Add(-time.Duration(frame.GetEndMs()-frame.GetStartMs()) * time.Millisecond)
}

// DateSketch tells which hour or day sketch belongs to, given when its frame
// ended by the clock of the cloud: its own start, moved by what the box's clock
// was wrong and rounded to a whole hour or day.
func DateSketch(end time.Time, frame *Frame, sketch *Sketch) time.Time {
	wrong := end.UnixMilli() - frame.GetEndMs()
	span := int64(sketch.GetSpanS()) * 1000
	if span <= 0 {
		return end
	}
	return time.UnixMilli(floorDiv(sketch.GetStartMs()+wrong+span/2, span) * span).UTC()
}

// floorDiv rounds down, also below zero.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
