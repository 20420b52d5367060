package wire

import (
	"fmt"
	"strings"
)

// The ways from a box to the broker, both through the cloud's HTTPS port.
//
// The tunnel is a WebSocket at TunnelPath whose binary messages carry the bytes
// of a NATS client connection, cut anywhere. The 101 answer names the session
// (SessionHeader), which is the user of CONNECT; there is no password. The
// gateway lets pass what a box needs: CONNECT, PING, PONG, SUB, UNSUB, PUB and
// HPUB, each as nats.go writes it, replies only to the box's own inbox, message
// ids only that are the box's own (MsgID). It closes the tunnel with
// CloseProtocol for anything else. The cloud sends the pings of the WebSocket.
//
// POST to FramesPath is for networks that no WebSocket crosses: the body is one
// Batch as it would go to FramesSubject, or empty; AskHeader is an Ask in JSON
// on one line. The answer is 200 and a Standing in JSON, once the broker has
// the batch on disk; either side's proof covers its body. 503 with Retry-After:
// nothing is known of the batch, send it again. 413, 429 and the refusals of
// identity are as HTTP has them; every refusal's body is {"error": REASON,
// "message": TEXT}.
const (
	TunnelPath        = "/sync"
	TunnelSubprotocol = "signalbox.sync.v1"
	SessionHeader     = "Signalbox-Session"
	FramesPath        = "/sync/v1/frames"
	AskHeader         = "Signalbox-Ask"

	// MaxTunnelMessage bounds a WebSocket message either way. A writer may cut
	// the stream where it likes; nats.go writes up to 32 KiB and a payload at once.
	MaxTunnelMessage = 1 << 20
	// MaxPayloadBytes bounds a message of NATS. It leaves room beside MaxTalkBytes.
	MaxPayloadBytes = 512 << 10
	// MaxAskBytes bounds AskHeader.
	MaxAskBytes = 2 << 10
)

// Close codes of a tunnel beside those of RFC 6455 §7.4.1. A box connects again
// after each of them; after CloseRevoked not sooner than in ten minutes.
const (
	CloseProtocol = 1008 // bytes that a box has no business to send; the reason says which
	CloseRestart  = 1012 // the node stops: connect to another, or again
	CloseBroker   = 1013 // the broker ended the connection or does not take its bytes

	CloseReplaced = 4001 // the box has opened newer tunnels
	CloseEnded    = 4002 // the certificate has ended: renew
	CloseRevoked  = 4003 // an administrator revoked the box
)

// MsgID is the Nats-Msg-Id of the batch that begins with a sequence number. The
// broker drops a repetition within its window.
func (b BoxID) MsgID(incarnation, first uint64) string {
	return fmt.Sprintf("%s:%016x:%d", b, incarnation, first)
}

// OwnsMsgID tells whether id is one of the box's own, so that no box can make
// the broker take another's batch for a repetition.
func (b BoxID) OwnsMsgID(id string) bool {
	return strings.HasPrefix(id, b.String()+":")
}

// OwnsInbox tells whether the box may have answers sent to that subject. Whoever
// answers a request asks it first: the broker does not check where a publisher
// wants its answer, and one sent with the cloud's rights could reach the broker's
// own interface.
func (b BoxID) OwnsInbox(subject string) bool {
	return strings.HasPrefix(subject, b.InboxPrefix()+".")
}
