// Package room is the rooms of a site and who is in them, as pure state: no
// network, no disk, no clock, no goroutines. Several boxes can share it. Each
// changes its own copy at once, without asking, and merges what the others
// tell; boxes that know the same changes hold the same state.
//
// # Dots and vectors
//
// Every change has a name, its [Dot]: the box, the box's incarnation and a
// counter. A [Vector] says which changes are known: of each origin all up to
// some counter, without holes. This makes "never heard of it" and "it was
// removed" different things without keeping anything of what was removed. A
// version of a setting, a metadata value or a member carries the dot of the
// change that wrote it. If one box holds it and another does not, then either
// the other's vector does not have the dot, and it is news; or it has, and it
// was removed there. So there are no tombstones, and an old state cannot bring
// a deleted room back.
//
// # What wins
//
// A change removes what it replaces, as far as its box has seen it. Changes made
// on two boxes that did not know of each other therefore both stand:
//   - of one member ID or metadata key, the version with the greater stamp
//     (Lamport clock, then dot) is shown, and the other shows again should the
//     first be removed by someone who saw only that one;
//   - of a room's settings, each field is resolved by itself in that way;
//   - a join stands against a leave, a write against a deletion;
//   - a write to the settings or metadata of a room that is deleted at the same
//     time keeps the room, with all its settings and without the members that
//     the deletion saw; it renews the version of the settings for that purpose;
//   - a join does not: it is no durable change. The room is gone, [State.Join]
//     refuses more, and [State.Members] yields those who came meanwhile until
//     they leave or the room is created again;
//   - two boxes may each let the last member in. A merge may exceed a capacity
//     or any other of the [Limits], local changes may not.
//
// # Snapshots and deltas
//
// A [Delta] has the sender's vector and, whole, whatever is left under each key
// that was touched since the receiver's: a room's settings, one metadata value,
// one member. Merging it equals merging a snapshot, which lists everything. The
// sender knows what was touched from a trail of its latest changes, one per
// origin and bounded; the trails travel in the delta, so the receiver can tell
// a third box. Further back than the trails go, a delta is a snapshot. A delta
// that starts beyond what is known here is refused with [ErrGap].
//
// # Restarts
//
// Rooms are stored and members are not, so after [State.Restore] a box knows
// changes of rooms that it does not know as changes of members. It keeps the two
// contexts apart, or else it would make the other boxes believe that all their
// members had left. The counter starts again under a new incarnation: changes
// that were lost in the crash keep their names, wherever else they are known.
//
// A vector grows by one origin with each run that stored a change, four bytes
// as a rule.
package room
