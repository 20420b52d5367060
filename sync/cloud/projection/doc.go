// Package projection is what a cloud node knows of all boxes: a bbolt file made
// from the messages of the stream UP and from nothing else.
//
// Apply is pure on (state, message): it reads no clock, no registry and no
// random number, and what it writes has one encoding. So two nodes that applied
// the same messages have the same Hash, and a file may be deleted at any time:
// it is built again from the streams.
//
// What a frame tells is merged so that order and repetition do not matter: of
// counters the larger wins, of a gauge's extremes the wider, of rooms and
// alerts the one with the higher sequence number. A frame is therefore applied
// when it comes, also before one that is missing; what has been applied is kept
// per incarnation as a watermark and the ranges above it.
//
// Each box has a bound on everything it can make grow, see bounds.go: one that
// sends nonsense spoils its own figures and no others.
package projection
