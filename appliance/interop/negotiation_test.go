//go:build linux && interop

package interop_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pion/webrtc/v4"

	"signalbox/appliance/loadgen"
)

// frame handles what comes from the box.
func (c *caller) frame(f loadgen.Frame) error {
	switch f.Type {
	case "room":
		return c.meet(f)
	case "presence":
		var m loadgen.Member
		if err := json.Unmarshal(f.Member, &m); err != nil {
			return err
		}
		if m.Member != c.client.Member() && m.State == "online" {
			c.other = m.Member // joined later: it offers, and is polite
		}
	case "offer", "answer", "candidate", "end-of-candidates":
		return c.negotiate(f)
	case "error":
		return fmt.Errorf("the box refused frame %d: %s %s", f.Re, f.ErrorCode(), f.Message)
	case "closing":
		return fmt.Errorf("the box closed the socket: %s", f.Message)
	case "":
		return errors.New("the client ended")
	}
	return nil
}

// meet calls who is in the room already.
func (c *caller) meet(f loadgen.Frame) error {
	for _, m := range f.Members {
		if m.Member == c.client.Member() || c.other != "" {
			continue
		}
		c.other, c.polite = m.Member, *m.Polite
		if !c.polite {
			return fmt.Errorf("the snapshot calls the later of two members impolite")
		}
		echo, err := c.pc.CreateDataChannel("echo", nil)
		if err != nil {
			return err
		}
		c.echo = echo
		echo.OnMessage(func(m webrtc.DataChannelMessage) { c.post(func() error { return c.echoed(m.Data) }) })
		return c.offer(nil)
	}
	return nil
}

// negotiate takes part in the exchange by PROTOCOL.md §5. There is no glare:
// the callers offer in turn.
func (c *caller) negotiate(f loadgen.Frame) error {
	if f.From != c.other {
		return fmt.Errorf("%s from %q, want it from %q", f.Type, f.From, c.other)
	}
	if f.Polite == nil || *f.Polite != c.polite {
		return fmt.Errorf("%s carries the polite bit %v, want %v", f.Type, f.Polite, c.polite)
	}
	if f.Gen < c.gen {
		return nil // of a negotiation that has been overtaken
	}
	switch f.Type {
	case "offer":
		if f.Gen == c.gen {
			return fmt.Errorf("offer of generation %d again", f.Gen)
		}
		return c.answer(f)
	case "answer":
		return c.describe(f)
	case "candidate":
		var candidate webrtc.ICECandidateInit
		if err := json.Unmarshal(f.Data, &candidate); err != nil {
			return err
		}
		if f.Gen != c.gen {
			return fmt.Errorf("candidate of generation %d before its description; at %d", f.Gen, c.gen)
		}
		return c.pc.AddICECandidate(candidate)
	}
	return nil
}

// offer starts a negotiation, with the next generation that is this side's.
func (c *caller) offer(opts *webrtc.OfferOptions) error {
	c.gen = 2 * (c.gen/2 + 1)
	if !c.polite {
		c.gen++
	}
	description, err := c.pc.CreateOffer(opts)
	if err != nil {
		return err
	}
	return c.say(description)
}

func (c *caller) answer(f loadgen.Frame) error {
	c.gen = f.Gen
	if err := c.describe(f); err != nil {
		return err
	}
	description, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	return c.say(description)
}

// say takes up a description of its own, which starts gathering, and sends it.
func (c *caller) say(description webrtc.SessionDescription) error {
	if err := c.pc.SetLocalDescription(description); err != nil {
		return err
	}
	return c.tell(description.Type.String(), description)
}

func (c *caller) describe(f loadgen.Frame) error {
	var description webrtc.SessionDescription
	if err := json.Unmarshal(f.Data, &description); err != nil {
		return err
	}
	return c.pc.SetRemoteDescription(description)
}

// trickle sends a candidate as it is found, nil after the last.
func (c *caller) trickle(found *webrtc.ICECandidate) error {
	if found == nil {
		return c.tell("end-of-candidates", nil)
	}
	return c.tell("candidate", found.ToJSON())
}

func (c *caller) tell(kind string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if data == nil {
		text = nil
	}
	_, err = c.client.Send(loadgen.Send{Type: kind, Room: c.part.Room, To: c.other, Gen: c.gen, Data: text})
	return err
}
