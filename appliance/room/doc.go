// Package room is the rooms of a site and who is in them, as pure state: no
// network, no disk, no clock, no goroutines. Several boxes can share it, each
// changing its own copy and merging what the others tell.
package room
