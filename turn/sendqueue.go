package turn

import "sync"

const (
	// maxQueued is how much media may wait for a slow TCP client: a second
	// of good video. What is older is of no use to anyone.
	maxQueued = 256 << 10
	// responseRoom comes on top for responses: dropped media is repaired by
	// the next frame, while a lost response costs the client its call. It is
	// all that a client has who has not signed in.
	responseRoom = 16 << 10
	// keptQueue is the buffer that an idle connection keeps.
	keptQueue = 4 << 10
)

// sendQueue holds the bytes that wait for a TCP client.
type sendQueue struct {
	wake chan struct{} // has a token when there is something to take

	mu      sync.Mutex
	pending []byte
	spare   []byte // the buffer that was taken last and given back
}

func newSendQueue() *sendQueue { return &sendQueue{wake: make(chan struct{}, 1)} }

// push copies a message to the end, in two parts and with so many zero bytes
// of padding (3 at most), unless more than room bytes would wait then.
func (q *sendQueue) push(header, payload []byte, pad, room int) bool {
	q.mu.Lock()
	if len(q.pending)+len(header)+len(payload)+pad > room {
		q.mu.Unlock()
		return false
	}
	q.pending = append(append(q.pending, header...), payload...)
	q.pending = append(q.pending, "\x00\x00\x00"[:pad]...)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns everything that waits, nil for nothing. The bytes belong to the
// caller until it calls giveBack.
func (q *sendQueue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pending) == 0 {
		return nil
	}
	taken := q.pending
	q.pending, q.spare = q.spare, nil
	return taken
}

// giveBack returns a buffer got from take. A large one is let go: few clients
// fall behind, and every client has a queue.
func (q *sendQueue) giveBack(taken []byte) {
	if cap(taken) > keptQueue {
		return
	}
	q.mu.Lock()
	q.spare = taken[:0]
	q.mu.Unlock()
}
