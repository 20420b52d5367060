// Package presence tells every cloud node which boxes are connected to any of
// them. Each node says who is there when that changes and every few seconds; a
// node that is silent for too long has nobody.
package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/wire"
)

const (
	subject = "here"
	// maxPart is how many boxes one message names: some 350 KB, below what the
	// broker takes.
	maxPart = 5000
	// maxNodes bounds what is kept of others.
	maxNodes = 64
)

// Config is what New needs.
type Config struct {
	Conn *nats.Conn
	Node string // unlike that of any other
	// Local are the boxes connected to this node. It is called often.
	Local func() []wire.BoxID

	LookEvery time.Duration // at Local; 500 ms
	SayEvery  time.Duration // when nothing has changed; 10 s
	Forget    time.Duration // a silent node; 30 s
	Logger    *slog.Logger
}

// Presence is safe for concurrent use.
type Presence struct {
	cfg Config

	mu     sync.RWMutex
	local  map[string]bool
	others map[string]*node
	tell   map[*func(wire.BoxID)]struct{}
}

// node is what another node has said.
type node struct {
	boxes   map[string]bool
	parts   [][]string // of the list that is coming in
	version int64
	heard   time.Time
}

// message is part of the list of one node.
type message struct {
	Node    string   `json:"node"`
	Version int64    `json:"version"` // of the list, grows
	Part    int      `json:"part"`
	Parts   int      `json:"parts"`
	Boxes   []string `json:"boxes"`
}

// New checks cfg.
func New(cfg Config) (*Presence, error) {
	if cfg.Conn == nil || cfg.Node == "" || cfg.Local == nil {
		return nil, errors.New("presence: Conn, Node and Local are needed")
	}
	for field, usual := range map[*time.Duration]time.Duration{
		&cfg.LookEvery: 500 * time.Millisecond, &cfg.SayEvery: 10 * time.Second, &cfg.Forget: 30 * time.Second,
	} {
		if *field == 0 {
			*field = usual
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Presence{cfg: cfg, local: map[string]bool{}, others: map[string]*node{}, tell: map[*func(wire.BoxID)]struct{}{}}, nil
}

// Online tells whether box has a connection to any node.
func (p *Presence) Online(box wire.BoxID) bool {
	name := box.String()
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.onlineLocked(name)
}

func (p *Presence) onlineLocked(name string) bool {
	if p.local[name] {
		return true
	}
	for _, n := range p.others {
		if n.boxes[name] {
			return true
		}
	}
	return false
}

// Watch has tell called with each box that has come or gone, until stop. tell
// must not wait.
func (p *Presence) Watch(tell func(wire.BoxID)) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell[&tell] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.tell, &tell)
	}
}

// Run says and hears until ctx ends.
func (p *Presence) Run(ctx context.Context) error {
	heard := make(chan *nats.Msg, 256)
	sub, err := p.cfg.Conn.ChanSubscribe(subject, heard)
	if err != nil {
		return fmt.Errorf("presence: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	ticker := time.NewTicker(p.cfg.LookEvery)
	defer ticker.Stop()
	var said time.Time
	for {
		select {
		case m := <-heard:
			p.hear(m.Data)
		case <-ticker.C:
			changed := p.look()
			p.forget()
			if changed || time.Since(said) >= p.cfg.SayEvery {
				if err := p.say(); err != nil {
					p.cfg.Logger.Debug("presence is not told", "err", err)
					continue // and again at the next look
				}
				said = time.Now()
			}
		case <-ctx.Done():
			p.setLocal(map[string]bool{})
			_ = p.say() // others need not wait for the silence
			return nil
		}
	}
}

// look takes note of who is connected here.
func (p *Presence) look() (changed bool) {
	boxes := p.cfg.Local()
	now := make(map[string]bool, len(boxes))
	for _, b := range boxes {
		now[b.String()] = true
	}
	return p.setLocal(now)
}

func (p *Presence) setLocal(now map[string]bool) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changeLocked(&p.local, now)
}

// changeLocked replaces a set and tells of what is different in all of them.
func (p *Presence) changeLocked(set *map[string]bool, next map[string]bool) (changed bool) {
	was := *set
	var touched []string
	for name := range was {
		if !next[name] {
			touched = append(touched, name)
		}
	}
	for name := range next {
		if !was[name] {
			touched = append(touched, name)
		}
	}
	before := make([]bool, len(touched))
	for i, name := range touched {
		before[i] = p.onlineLocked(name)
	}
	*set = next
	for i, name := range touched {
		if p.onlineLocked(name) == before[i] {
			continue
		}
		if box, err := wire.ParseBoxID(name); err == nil {
			for tell := range p.tell {
				(*tell)(box)
			}
		}
	}
	return len(touched) > 0
}

// say sends the whole list.
func (p *Presence) say() error {
	p.mu.RLock()
	names := make([]string, 0, len(p.local))
	for name := range p.local {
		names = append(names, name)
	}
	p.mu.RUnlock()
	slices.Sort(names)
	m := message{Node: p.cfg.Node, Version: time.Now().UnixNano(), Parts: max(1, (len(names)+maxPart-1)/maxPart)}
	for m.Part = range m.Parts {
		m.Boxes = names[m.Part*maxPart : min(len(names), (m.Part+1)*maxPart)]
		data, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if err := p.cfg.Conn.Publish(subject, data); err != nil {
			return err
		}
	}
	return p.cfg.Conn.FlushTimeout(time.Second)
}

func (p *Presence) hear(data []byte) {
	var m message
	if json.Unmarshal(data, &m) != nil || m.Node == "" || m.Parts < 1 || m.Parts > 64 || m.Part < 0 || m.Part >= m.Parts || len(m.Boxes) > maxPart {
		p.cfg.Logger.Warn("presence is not understood; do all cloud nodes have the same version?", "bytes", len(data))
		return
	}
	if strings.EqualFold(m.Node, p.cfg.Node) {
		return // ourselves
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.others[m.Node]
	if n == nil {
		if len(p.others) >= maxNodes {
			return
		}
		n = &node{boxes: map[string]bool{}}
		p.others[m.Node] = n
	}
	switch {
	case m.Version < n.version:
		return
	case m.Version > n.version || len(n.parts) != m.Parts:
		n.version, n.parts = m.Version, make([][]string, m.Parts)
	}
	n.heard = time.Now()
	n.parts[m.Part] = append([]string{}, m.Boxes...)
	next := map[string]bool{}
	for _, part := range n.parts {
		if part == nil {
			return // the rest is on its way
		}
		for _, name := range part {
			next[name] = true
		}
	}
	p.changeLocked(&n.boxes, next)
}

// forget drops the lists of nodes that are silent.
func (p *Presence) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, n := range p.others {
		if time.Since(n.heard) > p.cfg.Forget {
			p.changeLocked(&n.boxes, map[string]bool{})
			delete(p.others, name)
		}
	}
}
