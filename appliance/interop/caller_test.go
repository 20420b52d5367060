//go:build linux && interop

package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media"
	"go.uber.org/goleak"

	"signalbox/appliance/loadgen"
)

const callerRole = "caller"

// A caller has made its point once so much has passed in one phase of a call.
const (
	enoughEchoes  = 20
	enoughPackets = 40
)

// callerPart is what a caller is told.
type callerPart struct {
	URL, Token, Name, Room string
	RelayOnly              bool   // iceTransportPolicy relay
	Transport              string // the only TURN servers to use, "udp" or "tcp"; "" for every server
}

// callerOrder is a line to a caller.
type callerOrder struct {
	Restart bool // offer an ICE restart
	Count   bool // print what has come so far
}

// callerNews is a line from a caller: a phase of the call has made its point.
// The first is the call itself, the second what follows an ICE restart. Phase 0
// is a count, over the whole call.
type callerNews struct {
	Phase          int
	Member         string
	Polite         bool
	Gen            uint64
	Local, Remote  string // types of the selected candidates
	RelayTransport string // between the caller and its relay
	Pair           string // both addresses
	Echoes         int    // messages that came back, or were sent back
	Packets        int    // of video
	TookMS         int64
}

// playCaller is the process of a caller. It returns its exit code.
func playCaller(arg string) int {
	c := &caller{tasks: make(chan func() error, 1024), began: time.Now()}
	err := json.Unmarshal([]byte(arg), &c.part)
	if err == nil {
		err = c.run()
	}
	if err == nil {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// caller is one side of a WebRTC call: pion behind a careful client. All of it
// happens on one goroutine; pion's callbacks send it tasks.
type caller struct {
	part   callerPart
	client *loadgen.Client
	pc     *webrtc.PeerConnection
	tasks  chan func() error
	began  time.Time
	work   sync.WaitGroup

	polite bool
	other  string // the other member; "" while there is none
	gen    uint64 // the pair's current generation, PROTOCOL.md §5
	phase  int    // the last one that has made its point
	pair   string // and its selected pair

	echo    *webrtc.DataChannel
	asked   []byte // not yet come back
	echoes  int
	packets atomic.Int64
	before  callerNews // counts at the end of the last phase
}

func (c *caller) run() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer c.work.Wait()
	checker, err := schema()
	if err != nil {
		return err
	}
	c.client = loadgen.New(loadgen.Options{
		URL: c.part.URL, Token: c.part.Token, Name: c.part.Name, MaxBackoff: time.Second,
		Trace: func(out bool, frame []byte) {
			if err := checker.Check(out, frame); err != nil {
				c.post(func() error { return err })
			}
		},
	})
	running, hangUp := context.WithCancel(ctx)
	defer hangUp()
	c.work.Go(func() { _ = c.client.Run(running) })
	welcome, err := c.client.AwaitType(ctx, "welcome")
	if err != nil {
		return fmt.Errorf("%w; %+v", err, c.client.Counts())
	}
	if err := c.connect(running, welcome.ICE); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.pc.GracefulClose()) }()
	if _, err := c.client.Send(loadgen.Send{Type: "join", ID: 1, Room: c.part.Room}); err != nil {
		return err
	}
	return c.loop(ctx)
}

// loop runs the call until standard input ends.
func (c *caller) loop(ctx context.Context) error {
	orders := make(chan callerOrder)
	go func() { // ends with standard input, before the process does
		defer close(orders)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			var o callerOrder
			if json.Unmarshal(in.Bytes(), &o) == nil {
				orders <- o
			}
		}
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var err error
		select {
		case f := <-c.client.Frames():
			err = c.frame(f)
		case task := <-c.tasks:
			err = task()
		case <-tick.C:
			err = errors.Join(c.askEcho(), c.judge())
		case o, ok := <-orders:
			if !ok {
				return c.hangUp(ctx)
			}
			if o.Count {
				err = json.NewEncoder(os.Stdout).Encode(callerNews{Echoes: c.echoes, Packets: int(c.packets.Load())})
			}
			if o.Restart {
				err = c.offer(&webrtc.OfferOptions{ICERestart: true})
			}
		case <-ctx.Done():
			err = fmt.Errorf("caller ran out of time in phase %d: ice %v, signaling %v, %d echoes, %d packets",
				c.phase+1, c.pc.ICEConnectionState(), c.pc.SignalingState(), c.echoes, c.packets.Load())
		}
		if err != nil {
			return err
		}
	}
}

// post hands a task to the loop; a caller that does not keep up loses nothing
// it could not do without.
func (c *caller) post(task func() error) {
	select {
	case c.tasks <- task:
	default:
	}
}

// hangUp ends the call and waits until the box knows.
func (c *caller) hangUp(ctx context.Context) error {
	for _, s := range []loadgen.Send{
		{Type: "bye", Room: c.part.Room, To: c.other, Gen: c.gen},
		{Type: "leave", ID: 2, Room: c.part.Room},
	} {
		if _, err := c.client.Send(s); err != nil {
			return err
		}
	}
	_, err := c.client.Await(ctx, func(f loadgen.Frame) bool { return f.Type == "ok" && f.ID == 2 })
	c.client.Close()
	return err
}

// connect makes the peer connection with what every call has.
func (c *caller) connect(ctx context.Context, servers loadgen.ICE) error {
	var settings webrtc.SettingEngine
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	cfg := webrtc.Configuration{ICEServers: c.servers(servers)}
	if c.part.RelayOnly {
		cfg.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(cfg)
	if err != nil {
		return err
	}
	c.pc = pc
	pc.OnICECandidate(func(found *webrtc.ICECandidate) { c.post(func() error { return c.trickle(found) }) })
	pc.OnDataChannel(func(d *webrtc.DataChannel) {
		d.OnMessage(func(m webrtc.DataChannelMessage) {
			c.post(func() error { c.echoes++; return c.unlessOver(d.Send(m.Data)) })
		})
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { c.watch(track) })
	return c.film(ctx)
}

// servers are the ICE servers of the welcome, through the part's filter.
func (c *caller) servers(told loadgen.ICE) (servers []webrtc.ICEServer) {
	for _, s := range told.Servers {
		var urls []string
		for _, url := range s.URLs {
			if c.part.Transport == "" || strings.HasPrefix(url, "turn:") && strings.HasSuffix(url, "transport="+c.part.Transport) {
				urls = append(urls, url)
			}
		}
		if len(urls) > 0 {
			servers = append(servers, webrtc.ICEServer{URLs: urls, Username: s.Username, Credential: s.Credential})
		}
	}
	return servers
}

// film sends video until ctx ends: frames of two packets, fifty a second.
func (c *caller) film(ctx context.Context) error {
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "picture", c.part.Name)
	if err != nil {
		return err
	}
	sender, err := c.pc.AddTrack(track)
	if err != nil {
		return err
	}
	c.work.Go(func() { // what the other side reports has to be read
		for buf := make([]byte, 1500); ; {
			if _, _, err := sender.Read(buf); err != nil {
				return
			}
		}
	})
	c.work.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for frame := bytes.Repeat([]byte("picture "), 250); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := track.WriteSample(media.Sample{Data: frame, Duration: 20 * time.Millisecond}); err != nil {
				c.post(func() error { return fmt.Errorf("send video: %w", err) })
				return
			}
		}
	})
	return nil
}

// watch counts the packets of the other's video, pion's own goroutine.
func (c *caller) watch(track *webrtc.TrackRemote) {
	for {
		packet, _, err := track.ReadRTP()
		if err != nil {
			return // the call is over
		}
		var vp8 codecs.VP8Packet
		if picture, err := vp8.Unmarshal(packet.Payload); err != nil || !bytes.Contains(picture, []byte("picture ")) {
			c.post(func() error {
				return fmt.Errorf("video packet %d holds %.20q: %w", packet.SequenceNumber, picture, err)
			})
			return
		}
		c.packets.Add(1)
	}
}

// askEcho sends the next message once the last has come back.
func (c *caller) askEcho() error {
	if c.echo == nil || c.echo.ReadyState() != webrtc.DataChannelStateOpen || c.asked != nil {
		return nil
	}
	c.asked = make([]byte, 1024)
	_, _ = rand.Read(c.asked) // never fails (crypto/rand)
	return c.unlessOver(c.echo.Send(c.asked))
}

// unlessOver passes on an error of sending, but not when the other has hung up
// meanwhile. A channel that closes too early fails the phase that waits for it.
func (c *caller) unlessOver(err error) error {
	if err != nil && strings.Contains(err.Error(), "non-established state") { // pion has no error to compare with
		return nil
	}
	return err
}

func (c *caller) echoed(data []byte) error {
	if !bytes.Equal(data, c.asked) {
		return fmt.Errorf("echo of %d bytes is not what was sent", len(data))
	}
	c.asked = nil
	c.echoes++
	return nil
}

// judge prints news when the call, since its last (re)start, has made its point.
func (c *caller) judge() error {
	// Before that, pion sets up the transport without a lock.
	if state := c.pc.ICEConnectionState(); state != webrtc.ICEConnectionStateConnected && state != webrtc.ICEConnectionStateCompleted {
		return nil
	}
	transport := c.pc.SCTP().Transport().ICETransport()
	pair, err := transport.GetSelectedCandidatePair()
	if pair == nil || err != nil || c.phase == 2 || c.pc.SignalingState() != webrtc.SignalingStateStable ||
		pair.String() == c.pair || c.gen == c.before.Gen {
		return err
	}
	if c.before.Pair != pair.String() { // what came before does not count
		c.before.Pair, c.before.Echoes, c.before.Packets = pair.String(), c.echoes, int(c.packets.Load())
	}
	news := callerNews{
		Phase: c.phase + 1, Member: c.client.Member(), Polite: c.polite, Gen: c.gen,
		Local: pair.Local.Typ.String(), Remote: pair.Remote.Typ.String(), Pair: pair.String(),
		Echoes: c.echoes - c.before.Echoes, Packets: int(c.packets.Load()) - c.before.Packets,
		TookMS: time.Since(c.began).Milliseconds(),
	}
	if news.Echoes < enoughEchoes || news.Packets < enoughPackets {
		return nil
	}
	if stats, ok := transport.GetSelectedCandidatePairStats(); ok {
		local, _ := c.pc.GetStats()[stats.LocalCandidateID].(webrtc.ICECandidateStats)
		news.RelayTransport = local.RelayProtocol
	}
	c.phase, c.pair, c.before.Gen = news.Phase, news.Pair, c.gen
	return json.NewEncoder(os.Stdout).Encode(news)
}
