// Package outbox keeps what a box has to tell the cloud until the cloud has
// applied it: frames, and in the same transactions the counters they stand for.
//
// It is one bbolt file, bounded. When the cloud is away for long, the oldest
// minutes are merged into hours and the hours into days: resolution is lost, a
// total never. A damaged file is moved aside, and counting begins anew under
// another incarnation.
package outbox
