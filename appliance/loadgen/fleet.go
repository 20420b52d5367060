package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// TickTime is how often speakers are ticked: twice in the time the native
// protocol allows for an acknowledgement.
const TickTime = 100 * time.Millisecond

const (
	handshakeTime = 10 * time.Second
	readyTime     = 10 * time.Second            // from the last handshake to the last partner
	stuckTicks    = 10 * time.Second / TickTime // a write that takes so long ends its connection
	retryMost     = 2 * time.Second
	quietTime     = 2 * time.Second // for messages under way when a load ends
	stampDigits   = 19
	// leastData is a message's data without padding.
	leastData = len(`{"t":"","pad":""}`) + stampDigits
)

// FleetOptions say where a Fleet connects and what it sends.
type FleetOptions struct {
	URL       string // ws:// or wss://
	Dialect   Dialect
	TLS       *tls.Config   // for wss; nil: the roots of this system
	Conns     int           // an even number: two share a room
	DataBytes int           // of each message's data; 1024 unless set
	Dialers   int           // handshakes at once; 32 unless set
	Patience  time.Duration // until all are connected; a minute unless set
	Rooms     string        // what the names of the rooms begin with
}

// Fleet is a load of lean clients in pairs. Connect once, then load with Pace
// and Flood, one at a time; Close ends it.
type Fleet struct {
	opts FleetOptions
	url  *url.URL
	data []byte // of a message, with a stamp to be filled in
	zero time.Time

	conns   []*lean
	readers sync.WaitGroup
	stop    chan struct{} // ends the ticker
	ticker  sync.WaitGroup

	flooding atomic.Bool
	alive    atomic.Int64 // connections
	ready    atomic.Int64 // of these, with a partner
	sent     atomic.Uint64
	received atomic.Uint64
	latency  atomic.Pointer[Latency]

	mu      sync.Mutex
	closing bool
	faults  map[string]int
}

// NewFleet checks opts; Connect makes the connections.
func NewFleet(opts FleetOptions) (*Fleet, error) {
	to, err := url.Parse(opts.URL)
	if err != nil || to.Host == "" || to.Scheme != "ws" && to.Scheme != "wss" {
		return nil, fmt.Errorf("got the URL %q, want one like ws://box.local:8080/v1/signal", opts.URL)
	}
	if opts.Conns < 2 || opts.Conns%2 != 0 {
		return nil, fmt.Errorf("got %d connections, want an even number: they talk in pairs", opts.Conns)
	}
	if opts.DataBytes == 0 {
		opts.DataBytes = 1024
	}
	if opts.DataBytes < leastData || opts.DataBytes > maxFrameBytes/2 {
		return nil, fmt.Errorf("got messages of %d bytes, want %d to %d", opts.DataBytes, leastData, maxFrameBytes/2)
	}
	if opts.Dialers == 0 {
		opts.Dialers = 32
	}
	if opts.Patience == 0 {
		opts.Patience = time.Minute
	}
	data := append([]byte(`{"t":"`), make([]byte, stampDigits)...)
	data = append(data, `","pad":"`...)
	for len(data) < opts.DataBytes-2 {
		data = append(data, 'a'+byte(len(data)%26))
	}
	f := &Fleet{
		opts: opts, url: to, data: append(data, `"}`...), zero: time.Now(),
		stop: make(chan struct{}), faults: make(map[string]int),
	}
	f.latency.Store(new(Latency))
	return f, nil
}

// Connect makes the connections and waits until each has met its partner. A
// server that answers 503 is asked again while there is patience. What failed
// is in Faults; the error is for a load that cannot be.
func (f *Fleet) Connect(ctx context.Context) error {
	outer := ctx
	ctx, cancel := context.WithTimeout(outer, f.opts.Patience)
	defer cancel()
	next, made := make(chan int), make(chan *lean)
	var dialers, tickers sync.WaitGroup
	for range f.opts.Dialers {
		dialers.Go(func() {
			for i := range next {
				made <- f.connect(ctx, i)
			}
		})
	}
	tickers.Go(func() {
		defer close(next)
		for i := range f.opts.Conns {
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	go func() { // ends with the dialers, for whom the loop below waits
		dialers.Wait()
		close(made)
	}()
	for c := range made {
		if c != nil {
			f.conns = append(f.conns, c)
		}
	}
	tickers.Wait()
	f.ticker.Go(f.tick)
	if len(f.conns) == 0 {
		return fmt.Errorf("no connection was made: %s", f.firstFault())
	}
	f.await(outer, readyTime, func() bool { return f.ready.Load() == f.alive.Load() })
	if f.Ready() == 0 {
		return fmt.Errorf("no client met its partner: %s", f.firstFault())
	}
	return outer.Err()
}

// connect is one client from dial to hello; nil when that does not work.
func (f *Fleet) connect(ctx context.Context, i int) *lean {
	for attempt := 0; ; attempt++ {
		within, cancel := context.WithTimeout(ctx, handshakeTime)
		nc, early, err := dial(within, f.url, f.opts.TLS, f.opts.Dialect.Subprotocol())
		cancel()
		if err != nil {
			refused, ok := errors.AsType[*refusedError](err)
			if ok && refused.status == http.StatusServiceUnavailable && pause(ctx, attempt) {
				continue
			}
			f.fault("connect: " + cause(err))
			return nil
		}
		c := &lean{fleet: f, nc: nc, early: early, speaker: f.opts.Dialect.Speaker(i, f.opts.Rooms+strconv.Itoa(i/2))}
		if err := c.write(opText, c.speaker.Hello); err != nil {
			nc.Close()
			f.fault("connect: " + cause(err))
			return nil
		}
		f.alive.Add(1)
		f.readers.Go(func() { c.ended(c.read()) })
		return c
	}
}

// pause waits before another attempt; false when ctx ends first.
func pause(ctx context.Context, attempt int) bool {
	timer := time.NewTimer(rand.N(min(retryMost, 50*time.Millisecond<<min(attempt, 10))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ended counts the end of a connection, unless it is our own doing.
func (c *lean) ended(err error) {
	c.fleet.mu.Lock()
	closing := c.fleet.closing
	c.fleet.mu.Unlock()
	if c.ready {
		c.fleet.ready.Add(-1)
	}
	c.fleet.alive.Add(-1)
	if !closing {
		c.fleet.fault("ended: " + cause(err))
	}
	c.end()
}

// tick ticks the speakers and cuts connections whose writes are stuck.
func (f *Fleet) tick() {
	ticker := time.NewTicker(TickTime)
	defer ticker.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-ticker.C:
		}
		for _, c := range f.conns {
			c.tick()
		}
	}
}

func (c *lean) tick() {
	if !c.mu.TryLock() {
		if c.stuck++; c.stuck == int(stuckTicks) {
			c.nc.Close()
		}
		return
	}
	c.stuck = 0
	err := c.write(opText, c.speaker.Tick)
	owed := c.owed > 0
	c.mu.Unlock()
	if err == nil && owed {
		_ = c.send(0) // the reader sees what is wrong with the socket
	}
}

// appendData appends the data of a message, with the time.
func (f *Fleet) appendData(b []byte) []byte {
	at := len(b) + len(`{"t":"`)
	b = append(b, f.data...)
	now := time.Since(f.zero).Nanoseconds()
	for i := at + stampDigits - 1; i >= at; i-- {
		b[i] = '0' + byte(now%10)
		now /= 10
	}
	return b
}

// fault counts what went wrong.
func (f *Fleet) fault(code string) {
	f.mu.Lock()
	f.faults[code]++
	f.mu.Unlock()
}

func (f *Fleet) firstFault() string {
	for code := range f.Faults() {
		return code
	}
	return "nothing was heard"
}

// Faults counts refusals and failures since the start, by what they were.
func (f *Fleet) Faults() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.faults)
}

// Ready is how many clients are connected and have their partner.
func (f *Fleet) Ready() int { return int(f.ready.Load()) }

// Close ends every connection and waits for its goroutines. It says goodbye, so
// that a box ends the sessions at once instead of keeping them for a resume.
func (f *Fleet) Close() {
	f.mu.Lock()
	closing := f.closing
	f.closing = true
	f.mu.Unlock()
	if closing {
		return
	}
	close(f.stop)
	f.ticker.Wait()
	for _, c := range f.conns {
		c.goodbye()
	}
	f.await(context.Background(), quietTime, func() bool { return f.alive.Load() == 0 })
	for _, c := range f.conns {
		c.end()
	}
	f.readers.Wait()
}
