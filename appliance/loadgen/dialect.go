package loadgen

// Dialect is a protocol that a Fleet can speak: the box's own, or that of a
// server it is measured against.
type Dialect interface {
	// Subprotocol is offered in the handshake; "" for none.
	Subprotocol() string
	// Speaker is the side of client number i. A room has two clients.
	Speaker(i int, room string) Speaker
}

// Speaker is one client's side of a protocol whose frames are JSON texts. It
// does no I/O, and its calls do not overlap. Frames are appended to b, and it
// returns b as it was when it has nothing to say.
type Speaker interface {
	// Hello is the first frame of all.
	Hello(b []byte) []byte
	// Hear takes in a frame of the server's, and may answer it. The frame is
	// good only during the call.
	Hear(frame, b []byte) ([]byte, News)
	// Message begins a message to the partner, up to its data; the caller
	// appends that, and a closing brace. ok is false while it may not send.
	Message(b []byte) (_ []byte, ok bool)
	// Tick is called every TickTime.
	Tick(b []byte) []byte
}

// News is what a frame means for the load.
type News struct {
	Kind NewsKind
	Code string // of a refusal or an end: what the server calls it
}

// NewsKind says which kind of news.
type NewsKind uint8

// The kinds of news.
const (
	NewsNone    NewsKind = iota
	NewsReady            // the partner is there: messages may be sent
	NewsMessage          // a message of the partner's
	NewsRoom             // the window moved: Message may work again
	NewsRefused          // the server refused a frame
	NewsEnded            // the server closes, or broke its protocol
)
