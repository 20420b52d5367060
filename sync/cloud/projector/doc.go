// Package projector keeps the projection of a cloud node up with the stream UP,
// and tells the boxes how far it has come.
//
// It reads the stream in order from where the projection is, checks who signed
// each batch, and applies what it read in one transaction with its position: a
// node that is killed goes on where the disk says. When the stream is another
// than before, or ends before that position, it reads it again from the start;
// what was applied once changes nothing.
//
// Boxes hear of their watermark after each commit, and are asked to send again
// when frames stay missing. Their questions (wire.Ask) are answered by any node
// that has caught up. Under a lease, one node writes closed hours to the stream
// RU, from which a node with an empty file begins.
package projector
