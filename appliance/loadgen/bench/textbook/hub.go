// Package textbook is a signaling hub as everyone writes it on
// gorilla/websocket, for signalbox to be measured against: a goroutine that
// reads and one that writes for each connection, a buffered channel between
// them, encoding/json for the envelope, and a map of rooms behind a mutex. It
// is what the examples of that package lead to, done with care. It promises
// nothing beyond the socket: no resume, no acknowledgement, no journal.
package textbook

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// As in gorilla's chat example.
const (
	writeWait      = 10 * time.Second
	pongWait       = 60 * time.Second
	pingPeriod     = pongWait * 9 / 10
	maxMessageSize = 64 << 10
	sendQueue      = 256
)

// Envelope is what clients and hub send each other.
type Envelope struct {
	Type string          `json:"type"`
	Room string          `json:"room,omitempty"`
	From string          `json:"from,omitempty"`
	To   string          `json:"to,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
}

// Hub serves WebSockets. The zero value is ready.
type Hub struct {
	mu    sync.Mutex
	rooms map[string]map[string]*client
}

type client struct {
	hub  *Hub
	conn *websocket.Conn
	send chan []byte

	id, room string // set by join, on the reader
	gone     bool   // send is closed; guarded by Hub.mu
}

var upgrader = websocket.Upgrader{
	ReadBufferSize:  1024,
	WriteBufferSize: 1024,
	CheckOrigin:     func(*http.Request) bool { return true },
}

// ServeHTTP takes one connection.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // Upgrade has answered
	}
	c := &client{hub: h, conn: conn, send: make(chan []byte, sendQueue)}
	go c.writePump()
	go c.readPump()
}

func (c *client) readPump() {
	defer func() {
		c.hub.leave(c)
		c.conn.Close()
	}()
	c.conn.SetReadLimit(maxMessageSize)
	_ = c.conn.SetReadDeadline(time.Now().Add(pongWait))
	c.conn.SetPongHandler(func(string) error { return c.conn.SetReadDeadline(time.Now().Add(pongWait)) })
	for {
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		var e Envelope
		if err := json.Unmarshal(message, &e); err != nil {
			return
		}
		switch e.Type {
		case "join":
			c.hub.join(c, e)
		default:
			e.From = c.id
			c.hub.relay(c, e)
		}
	}
}

func (c *client) writePump() {
	ticker := time.NewTicker(pingPeriod)
	defer func() {
		ticker.Stop()
		c.conn.Close()
	}()
	for {
		select {
		case message, ok := <-c.send:
			_ = c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if !ok {
				_ = c.conn.WriteMessage(websocket.CloseMessage, nil)
				return
			}
			if err := c.conn.WriteMessage(websocket.TextMessage, message); err != nil {
				return
			}
		case <-ticker.C:
			_ = c.conn.SetWriteDeadline(time.Now().Add(writeWait))
			if err := c.conn.WriteMessage(websocket.PingMessage, nil); err != nil {
				return
			}
		}
	}
}

// join puts c into a room and tells both sides who is there.
func (h *Hub) join(c *client, e Envelope) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.id != "" || c.gone || e.From == "" {
		return
	}
	c.id, c.room = e.From, e.Room
	if h.rooms == nil {
		h.rooms = make(map[string]map[string]*client)
	}
	room := h.rooms[c.room]
	if room == nil {
		room = make(map[string]*client)
		h.rooms[c.room] = room
	}
	arrival := marshal(Envelope{Type: "joined", Room: c.room, From: c.id})
	for id, other := range room {
		other.queue(arrival)
		c.queue(marshal(Envelope{Type: "joined", Room: c.room, From: id}))
	}
	room[c.id] = c
}

// relay sends e to one member of the room, or to all others.
func (h *Hub) relay(c *client, e Envelope) {
	message := marshal(e)
	h.mu.Lock()
	defer h.mu.Unlock()
	room := h.rooms[c.room]
	if e.To != "" {
		if to := room[e.To]; to != nil {
			to.queue(message)
		}
		return
	}
	for _, to := range room {
		if to != c {
			to.queue(message)
		}
	}
}

func marshal(e Envelope) []byte {
	message, err := json.Marshal(e)
	if err != nil {
		panic(err) // its data was JSON when it came
	}
	return message
}

// queue hands a message to c's writer; a client that is too slow is let go.
// Hub.mu is held.
func (c *client) queue(message []byte) {
	if c.gone {
		return
	}
	select {
	case c.send <- message:
	default:
		c.hub.drop(c)
	}
}

// drop takes c out and has its writer end. Hub.mu is held.
func (h *Hub) drop(c *client) {
	if c.gone {
		return
	}
	c.gone = true
	close(c.send)
	if room := h.rooms[c.room]; room[c.id] == c {
		delete(room, c.id)
		if len(room) == 0 {
			delete(h.rooms, c.room)
		}
	}
}

func (h *Hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(c)
}
