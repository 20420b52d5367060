package signaling

import "encoding/json"

// Subprotocol is the WebSocket subprotocol token of this protocol (RFC 6455 §1.9).
const Subprotocol = "signalbox.v1.json"

// The frames of the protocol. These types are its published form: schema.json
// and asyncapi.json are generated from them, and every frame of every test is
// held against the result. The hot path does not marshal them: it reads with
// scanner and writes with the append functions of encode.go.

// Hello is the first frame of every socket.
type Hello struct {
	Type   string  `json:"type" jsonschema:"enum=hello"`
	Token  string  `json:"token,omitempty" jsonschema:"description=device token (JWT)"`
	Client string  `json:"client,omitempty" jsonschema:"maxLength=64"`
	Name   string  `json:"name,omitempty" jsonschema:"maxLength=64"`
	Resume *Resume `json:"resume,omitempty"`
}

// Resume names the session to continue and what the client has of it.
type Resume struct {
	Session string `json:"session"`
	Token   string `json:"token"`
	Ack     uint64 `json:"ack" jsonschema:"description=highest server seq processed"`
}

// Welcome answers Hello and is the first frame from the box.
type Welcome struct {
	Type     string          `json:"type" jsonschema:"enum=welcome"`
	Session  string          `json:"session"`
	Member   string          `json:"member"`
	Resumed  bool            `json:"resumed"`
	Reason   string          `json:"reason,omitempty" jsonschema:"enum=unknown,enum=expired,enum=overflow,enum=token,enum=identity"`
	Resume   string          `json:"resume" jsonschema:"description=token for the next resume"`
	Epoch    uint64          `json:"epoch"`
	Ack      uint64          `json:"ack"`
	Time     int64           `json:"time"`
	PingMS   int64           `json:"ping_ms"`
	DeadMS   int64           `json:"dead_ms"`
	ResumeMS int64           `json:"resume_ms"`
	Identity WelcomeIdentity `json:"identity"`
	Limits   WelcomeLimits   `json:"limits"`
	ICE      ICE             `json:"ice"`
}

// WelcomeIdentity tells a client who the box takes it for.
type WelcomeIdentity struct {
	Subject string   `json:"subject"`
	Rooms   []string `json:"rooms"`
	Rights  []string `json:"rights"`
	Expires int64    `json:"expires,omitempty" jsonschema:"description=Unix milliseconds; absent when it does not expire"`
}

// WelcomeLimits are the bounds a client has to keep.
type WelcomeLimits struct {
	FrameBytes    int `json:"frame_bytes"`
	UnackedFrames int `json:"unacked_frames"`
	UnackedBytes  int `json:"unacked_bytes"`
	Rooms         int `json:"rooms"`
}

// ICE is a list of ICE servers and the time their credentials end.
type ICE struct {
	Servers []ICEServer `json:"servers"`
	Expires int64       `json:"expires,omitempty"`
}

// ICEServer has the shape of RTCIceServer (W3C WebRTC §4.2.3).
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// Join enters a room.
type Join struct {
	Type string          `json:"type" jsonschema:"enum=join"`
	Seq  uint64          `json:"seq"`
	Ack  uint64          `json:"ack,omitempty"`
	ID   uint64          `json:"id,omitempty"`
	Room string          `json:"room" jsonschema:"minLength=1,maxLength=64"`
	Name string          `json:"name,omitempty" jsonschema:"maxLength=64"`
	Meta json.RawMessage `json:"meta,omitempty"`
	Will json.RawMessage `json:"will,omitempty"`
}

// Leave leaves a room.
type Leave struct {
	Type string `json:"type" jsonschema:"enum=leave"`
	Seq  uint64 `json:"seq"`
	Ack  uint64 `json:"ack,omitempty"`
	ID   uint64 `json:"id,omitempty"`
	Room string `json:"room"`
}

// SetPresence changes what a member shows of itself.
type SetPresence struct {
	Type string          `json:"type" jsonschema:"enum=presence"`
	Seq  uint64          `json:"seq"`
	Ack  uint64          `json:"ack,omitempty"`
	ID   uint64          `json:"id,omitempty"`
	Room string          `json:"room"`
	Name string          `json:"name,omitempty" jsonschema:"maxLength=64"`
	Meta json.RawMessage `json:"meta,omitempty"`
}

// Set writes one key of a room's state.
type Set struct {
	Type    string          `json:"type" jsonschema:"enum=set"`
	Seq     uint64          `json:"seq"`
	Ack     uint64          `json:"ack,omitempty"`
	ID      uint64          `json:"id,omitempty"`
	Room    string          `json:"room"`
	Key     string          `json:"key" jsonschema:"minLength=1,maxLength=64"`
	Data    json.RawMessage `json:"data"`
	Version *uint64         `json:"version,omitempty"`
}

// Send is a frame to one member (offer, answer, candidate, end-of-candidates,
// bye, message) or, for message without To, to the whole room.
type Send struct {
	Type string          `json:"type" jsonschema:"enum=offer,enum=answer,enum=candidate,enum=end-of-candidates,enum=bye,enum=message"`
	Seq  uint64          `json:"seq"`
	Ack  uint64          `json:"ack,omitempty"`
	ID   uint64          `json:"id,omitempty"`
	Room string          `json:"room"`
	To   string          `json:"to,omitempty"`
	Gen  uint64          `json:"gen,omitempty"`
	Key  string          `json:"key,omitempty" jsonschema:"maxLength=64"`
	Data json.RawMessage `json:"data,omitempty"`
}

// Pong answers Ping; both directions know both.
type Pong struct {
	Type string `json:"type" jsonschema:"enum=pong"`
	T    int64  `json:"t"`
	Ack  uint64 `json:"ack,omitempty"`
}

// Ping asks for life.
type Ping struct {
	Type string `json:"type" jsonschema:"enum=ping"`
	T    int64  `json:"t"`
	Ack  uint64 `json:"ack,omitempty"`
}

// Ack acknowledges cumulatively.
type Ack struct {
	Type string `json:"type" jsonschema:"enum=ack"`
	Ack  uint64 `json:"ack"`
}

// Refresh renews the identity in-band.
type Refresh struct {
	Type  string `json:"type" jsonschema:"enum=refresh"`
	ID    uint64 `json:"id,omitempty"`
	Token string `json:"token"`
	Ack   uint64 `json:"ack,omitempty"`
}

// NetworkChanged tells the box that the client's network changed.
type NetworkChanged struct {
	Type string `json:"type" jsonschema:"enum=network-changed"`
	Ack  uint64 `json:"ack,omitempty"`
}

// Joined answers Join.
type Joined struct {
	Type        string `json:"type" jsonschema:"enum=joined"`
	Seq         uint64 `json:"seq,omitempty" jsonschema:"required"`
	Ack         uint64 `json:"ack,omitempty"`
	ID          uint64 `json:"id,omitempty"`
	Room        string `json:"room"`
	Version     uint64 `json:"version"`
	Member      string `json:"member"`
	Joined      uint64 `json:"joined"`
	Capacity    int    `json:"capacity"`
	Description string `json:"description,omitempty"`
	Count       int    `json:"count"`
}

// Member is one member of a room as others see it.
type Member struct {
	Member  string          `json:"member"`
	Subject string          `json:"subject"`
	Name    string          `json:"name,omitempty"`
	Meta    json.RawMessage `json:"meta,omitempty"`
	State   string          `json:"state" jsonschema:"enum=online,enum=suspended,enum=left"`
	Reason  string          `json:"reason,omitempty" jsonschema:"enum=left,enum=expired,enum=kicked,enum=ended,enum=deleted"`
	Joined  uint64          `json:"joined"`
	Polite  *bool           `json:"polite,omitempty"`
}

// StateEntry is one key of a room's state.
type StateEntry struct {
	Key     string          `json:"key"`
	Data    json.RawMessage `json:"data"`
	Version uint64          `json:"version"`
}

// Room is one page of a room's snapshot.
type Room struct {
	Type    string       `json:"type" jsonschema:"enum=room"`
	Ack     uint64       `json:"ack,omitempty"`
	Room    string       `json:"room"`
	Version uint64       `json:"version"`
	Page    int          `json:"page"`
	Last    bool         `json:"last"`
	Members []Member     `json:"members"`
	State   []StateEntry `json:"state"`
}

// Presence tells that one member changed.
type Presence struct {
	Type    string `json:"type" jsonschema:"enum=presence"`
	Ack     uint64 `json:"ack,omitempty"`
	Room    string `json:"room"`
	Version uint64 `json:"version"`
	Member  Member `json:"member"`
}

// State tells that one key of a room changed.
type State struct {
	Type    string          `json:"type" jsonschema:"enum=state"`
	Ack     uint64          `json:"ack,omitempty"`
	Room    string          `json:"room"`
	Key     string          `json:"key"`
	Data    json.RawMessage `json:"data"`
	Version uint64          `json:"version"`
	From    string          `json:"from,omitempty"`
}

// Relayed is a Send as its receiver gets it.
type Relayed struct {
	Type   string          `json:"type" jsonschema:"enum=offer,enum=answer,enum=candidate,enum=end-of-candidates,enum=bye,enum=message"`
	Seq    uint64          `json:"seq,omitempty" jsonschema:"required"`
	Ack    uint64          `json:"ack,omitempty"`
	Room   string          `json:"room"`
	From   string          `json:"from"`
	MID    uint64          `json:"mid,omitempty"`
	Gen    uint64          `json:"gen,omitempty"`
	Polite *bool           `json:"polite,omitempty"`
	Will   bool            `json:"will,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
}

// Restart asks one side of a pair for an ICE restart.
type Restart struct {
	Type   string `json:"type" jsonschema:"enum=restart"`
	Seq    uint64 `json:"seq,omitempty" jsonschema:"required"`
	Ack    uint64 `json:"ack,omitempty"`
	Room   string `json:"room"`
	Member string `json:"member"`
	Reason string `json:"reason" jsonschema:"enum=address_changed,enum=network_changed"`
}

// Sent tells what became of a frame to one member.
type Sent struct {
	Type   string `json:"type" jsonschema:"enum=sent"`
	Seq    uint64 `json:"seq,omitempty" jsonschema:"required"`
	Ack    uint64 `json:"ack,omitempty"`
	ID     uint64 `json:"id"`
	Status string `json:"status" jsonschema:"enum=delivered,enum=stored,enum=absent,enum=expired"`
	Count  *int   `json:"count,omitempty"`
}

// OK answers a request that has no better answer.
type OK struct {
	Type    string `json:"type" jsonschema:"enum=ok"`
	Seq     uint64 `json:"seq,omitempty" jsonschema:"required"`
	Ack     uint64 `json:"ack,omitempty"`
	ID      uint64 `json:"id"`
	Version uint64 `json:"version,omitempty"`
}

// Error refuses one frame; the session goes on.
type Error struct {
	Type         string `json:"type" jsonschema:"enum=error"`
	Seq          uint64 `json:"seq,omitempty"`
	Ack          uint64 `json:"ack,omitempty"`
	ID           uint64 `json:"id,omitempty"`
	Re           uint64 `json:"re,omitempty"`
	Code         string `json:"code"`
	Message      string `json:"message"`
	Temporary    bool   `json:"temporary"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
	Version      uint64 `json:"version,omitempty"`
	Gen          uint64 `json:"gen,omitempty"`
}

// Expiring asks for Refresh before Expires.
type Expiring struct {
	Type    string `json:"type" jsonschema:"enum=auth.expiring"`
	Ack     uint64 `json:"ack,omitempty"`
	Expires int64  `json:"expires"`
}

// Refreshed answers Refresh.
type Refreshed struct {
	Type    string `json:"type" jsonschema:"enum=refreshed"`
	Ack     uint64 `json:"ack,omitempty"`
	ID      uint64 `json:"id,omitempty"`
	Expires int64  `json:"expires,omitempty"`
}

// ICEUpdate brings renewed ICE servers.
type ICEUpdate struct {
	Type    string      `json:"type" jsonschema:"enum=ice"`
	Ack     uint64      `json:"ack,omitempty"`
	Servers []ICEServer `json:"servers"`
	Expires int64       `json:"expires,omitempty"`
}

// Closing says why the socket is about to close.
type Closing struct {
	Type         string `json:"type" jsonschema:"enum=closing"`
	Ack          uint64 `json:"ack,omitempty"`
	Code         int    `json:"code"`
	Error        string `json:"error"`
	Message      string `json:"message"`
	Temporary    bool   `json:"temporary"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
}
