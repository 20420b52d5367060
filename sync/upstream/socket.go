package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/wire"
)

// socket is the way over a WebSocket: a connection to the broker in a tunnel.
type socket struct {
	*ending
	nc    *nats.Conn
	box   wire.BoxID
	meter *meter
	out   chan event
	acks  string // prefix of reply subjects of batches, before their last sequence number
	asks  string // prefix of reply subjects of an Ask, before its incarnation

	probes sync.WaitGroup
}

// noPings: the courier has pings of its own, and saves those that frames make needless.
const noPings = 1000 * time.Hour

// openSocket connects through t, which it closes when that fails.
func openSocket(t *tunnel, box wire.BoxID, m *meter) (*socket, error) {
	s := &socket{box: box, meter: m, out: make(chan event, maxEvents), ending: newEnding()}
	s.acks, s.asks = box.InboxPrefix()+".ack.", box.InboxPrefix()+".ask."
	nc, err := nats.Connect("nats://tunnel",
		nats.SetCustomDialer(oneConn{t}), nats.SkipHostLookup(), nats.IgnoreDiscoveredServers(),
		nats.UserInfoHandler(func() (string, string) { return t.session, "" }),
		nats.CustomInboxPrefix(box.InboxPrefix()), nats.Name("signalbox "+box.String()),
		nats.NoReconnect(), nats.ReconnectBufSize(-1), nats.Timeout(dialTimeout), nats.WriteBufferSize(4<<10),
		nats.PingInterval(noPings), nats.FlusherTimeout(writeTimeout),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.fault(err) }),
		nats.ClosedHandler(func(nc *nats.Conn) { s.end(closedBy(nc, t)) }))
	if err != nil {
		_ = t.Close()
		return nil, fmt.Errorf("connect through the tunnel: %w", err)
	}
	s.nc = nc
	for subject, handle := range map[string]nats.MsgHandler{
		s.acks + "*": s.onAck, s.asks + "*": s.onStanding, box.NudgeSubject(): s.onNudge,
	} {
		if _, err := nc.Subscribe(subject, handle); err != nil {
			nc.Close()
			return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
		}
	}
	return s, nil
}

// closedBy is why a connection ended, in the words of the gateway if it had any.
func closedBy(nc *nats.Conn, t *tunnel) error {
	if told := t.farewell.Load(); told != nil {
		return *told
	}
	if err := nc.LastError(); err != nil && !isCut(err) {
		return err
	}
	return errClosed
}

// oneConn dials a connection that is there already, once.
type oneConn struct{ net.Conn }

func (c oneConn) Dial(_, _ string) (net.Conn, error) { return c.Conn, nil }

func (s *socket) name() string { return wayWebSocket }

func (s *socket) events() <-chan event { return s.out }

func (s *socket) sound() time.Time { return time.Unix(0, s.meter.heard.Load()) }

// probe sends a ping of the broker's protocol; the pong is a sound.
func (s *socket) probe() {
	s.probes.Go(func() { _ = s.nc.FlushTimeout(probeAfter) }) // a link without a pong is found by its silence
}

func (s *socket) close() {
	s.nc.Close()
	s.probes.Wait()
	<-s.done()
}

func (s *socket) send(_ context.Context, b *parcel) error {
	m := &nats.Msg{Subject: s.box.FramesSubject(), Reply: s.acks + strconv.FormatUint(b.last, 10), Data: b.data, Header: nats.Header{nats.MsgIdHdr: {b.id}}}
	return s.nc.PublishMsg(m)
}

// onAck reads what the stream answers to a batch (JetStream's PubAck).
func (s *socket) onAck(m *nats.Msg) {
	last, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, s.acks), 10, 64)
	if err != nil {
		return // nothing of ours asked for it
	}
	var ack struct {
		Stream string `json:"stream"`
		Error  *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	r := &receipt{last: last}
	switch err := json.Unmarshal(m.Data, &ack); {
	case isNobody(m):
		r.err = errNobody
	case err != nil:
		r.err = fmt.Errorf("answer of the stream: %w", err)
	case ack.Error != nil:
		r.err = errors.New("the stream refuses a batch: " + ack.Error.Description)
	}
	s.tell(event{acked: r})
}

// errNobody is what is wrong when the broker runs and nothing behind it does.
var errNobody = errors.New("nobody takes what the box sends: the cloud is starting, or has lost its stream")

// isNobody recognises the broker's word that nobody listens on a subject.
func isNobody(m *nats.Msg) bool { return len(m.Data) == 0 && m.Header.Get("Status") == "503" }

func (s *socket) ask(a wire.Ask) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return s.nc.PublishRequest(s.box.AskSubject(), s.asks+strconv.FormatUint(a.Incarnation, 10), data)
}

// onStanding passes the answer to an Ask on. That nobody is there to answer is
// no event: it is asked again.
func (s *socket) onStanding(m *nats.Msg) {
	if isNobody(m) {
		return
	}
	about, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, s.asks), 10, 64)
	if err != nil {
		return // nothing of ours asked for it
	}
	st, err := wire.ParseStanding(m.Data)
	if err != nil {
		s.end(fmt.Errorf("standing from the cloud: %w", err))
		return
	}
	s.tell(event{standing: &standing{st, about}})
}

func (s *socket) onNudge(m *nats.Msg) {
	n, err := wire.ParseNudge(m.Data)
	if err != nil {
		return // nothing of it is lost, by its contract
	}
	s.tell(event{nudge: n})
}

func (s *socket) live(l wire.Live) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return s.nc.Publish(s.box.LiveSubject(), data)
}

// tell never blocks nats.go's goroutines: what finds no room is dropped, and
// comes again, as everything the cloud says does.
func (s *socket) tell(e event) {
	select {
	case s.out <- e:
	default:
	}
}

// fault takes errors of the broker that end nothing by themselves. One about
// permissions means that the cloud and the box disagree about who it is.
func (s *socket) fault(err error) {
	if errors.Is(err, nats.ErrPermissionViolation) || strings.Contains(err.Error(), "ermissions") {
		s.end(fmt.Errorf("the broker refuses it: %w", err))
	}
}
