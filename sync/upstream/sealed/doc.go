// Package sealed makes of a box's backup something that may be given away: a
// file that says nothing but how large it is to who does not have the recovery
// code. sync/DESIGN.md says who holds that code and why.
package sealed
