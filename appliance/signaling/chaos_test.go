package signaling_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"signalbox/appliance/loadgen"
)

// cutter relays TCP and cuts each connection after a random number of bytes in
// one direction or the other, in the middle of a frame as often as not, until
// it has made so many cuts.
type cutter struct {
	to string

	mu   sync.Mutex
	rng  *rand.Rand
	left int
	made int
}

// plan is the number of bytes each direction may carry.
func (c *cutter) plan() (up, down int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const forever = 1 << 60
	if c.left == 0 {
		return forever, forever
	}
	c.left--
	c.made++
	after := 800 + c.rng.Int64N(5000)
	if c.rng.IntN(2) == 0 {
		return after, forever
	}
	return forever, after
}

func (c *cutter) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, c.to)
	if err != nil {
		return nil, err
	}
	up, down := c.plan()
	return &cutConn{Conn: nc, up: up, down: down}, nil
}

// cutConn passes up bytes to the box and down bytes from it, then is cut.
type cutConn struct {
	net.Conn
	up, down int64 // each is used by one goroutine
}

func (c *cutConn) Write(b []byte) (int, error) {
	if int64(len(b)) < c.up {
		c.up -= int64(len(b))
		return c.Conn.Write(b)
	}
	n, _ := c.Conn.Write(b[:c.up])
	_ = c.Conn.Close()
	return n, io.ErrClosedPipe
}

func (c *cutConn) Read(b []byte) (int, error) {
	if int64(len(b)) > c.down {
		b = b[:c.down]
	}
	n, err := c.Conn.Read(b)
	if c.down -= int64(n); c.down == 0 {
		_ = c.Conn.Close()
	}
	return n, err
}

// ledger holds what one receiver got from each sender.
type ledger struct {
	last     map[string]int
	repeated int
	skipped  int
}

func (l *ledger) note(t *testing.T, who string, f loadgen.Frame) {
	var n int
	if _, err := fmt.Sscan(string(f.Data), &n); err != nil {
		t.Errorf("%s got data %q: %v", who, f.Data, err)
		return
	}
	switch last := l.last[f.From]; {
	case n <= last:
		l.repeated++
		t.Errorf("%s got %d from %s after %d", who, n, f.From, last)
	case n > last+1:
		l.skipped += n - last - 1
		t.Errorf("%s got %d from %s after %d", who, n, f.From, last)
	}
	l.last[f.From] = max(l.last[f.From], n)
}

// chaos runs four devices that all send to all until the cutter has made its
// cuts, and then some; disturb may do worse meanwhile.
func chaos(t *testing.T, b *box, c *cutter, every time.Duration, disturb func(stop <-chan struct{})) {
	const devices, after = 4, 200
	ledgers := make([]ledger, devices)
	clients := make([]*loadgen.Client, devices)
	for i := range clients {
		clients[i] = b.device(fmt.Sprint("device-", i), func(o *loadgen.Options) {
			o.NetDial, o.MaxBackoff = c.dial, 5*time.Millisecond
		})
		join(t, clients[i], "floor")
	}
	time.Sleep(300 * time.Millisecond) // a session is safe from its first commit on
	stop := make(chan struct{})
	var senders, receivers, other sync.WaitGroup
	sentBy := make([]int, devices)
	for i, client := range clients {
		senders.Go(func() {
			for more := -1; more != 0; {
				sentBy[i]++
				if _, err := client.Send(loadgen.Send{Type: "message", Room: "floor", Data: jsonOf("%d", sentBy[i])}); err != nil {
					t.Error(err)
					return
				}
				c.mu.Lock()
				if c.left == 0 && more < 0 {
					more = after
				}
				c.mu.Unlock()
				more--
				time.Sleep(every)
			}
		})
	}
	all := make(chan struct{})
	for i, client := range clients {
		ledgers[i].last = make(map[string]int)
		receivers.Go(func() {
			for {
				select {
				case f := <-client.Frames():
					if f.Type == "message" {
						ledgers[i].note(t, fmt.Sprint("device-", i), f)
					}
				case <-all:
					return
				}
			}
		})
	}
	if disturb != nil {
		other.Go(func() { disturb(stop) })
	}
	senders.Wait()
	close(stop)
	other.Wait()
	deadline := time.Now().Add(20 * time.Second)
	for i, client := range clients { // everything acknowledged means everything is safe
		for client.Unacked() > 0 && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		if n := client.Unacked(); n > 0 {
			t.Errorf("device-%d: %d frames never acknowledged; %+v", i, n, client.Counts())
		}
	}
	time.Sleep(time.Second)
	close(all)
	receivers.Wait()
	total, resumes := 0, 0
	for i, l := range ledgers {
		counts := clients[i].Counts()
		resumes += counts.Resumes
		if counts.Gaps != 0 || counts.Reset != 0 {
			t.Errorf("device-%d: %+v, want no gaps and no refused resumes", i, counts)
		}
		for j, other := range clients {
			if j != i && l.last[other.Member()] != sentBy[j] {
				t.Errorf("device-%d got %d messages of device-%d, want %d", i, l.last[other.Member()], j, sentBy[j])
			}
		}
		total += sentBy[i]
	}
	t.Logf("%d cuts, %d resumes, %d messages sent to 3 others each", c.made, resumes, total)
}

// 2,000 sockets cut under traffic in both directions: nothing is lost,
// repeated or reordered.
func TestChaosCuts(t *testing.T) {
	b := start(t, nil)
	cuts := 2000
	if testing.Short() {
		cuts = 200
	}
	chaos(t, b, &cutter{to: b.listener.Addr().String(), rng: rand.New(rand.NewPCG(7, 11)), left: cuts}, 4*time.Millisecond, nil)
}

// The same while the box itself is killed and started again and again.
func TestChaosKills(t *testing.T) {
	b := start(t, nil)
	addr := b.listener.Addr().String()
	rng := rand.New(rand.NewPCG(3, 5))
	c := &cutter{to: addr, rng: rand.New(rand.NewPCG(13, 17)), left: 300}
	kills := 0
	chaos(t, b, c, 15*time.Millisecond, func(stop <-chan struct{}) {
		for {
			select {
			case <-stop:
				t.Logf("%d kills", kills)
				return
			case <-time.After(time.Duration(150+rng.IntN(250)) * time.Millisecond):
				b.kill()
				b.boot(addr)
				kills++
			}
		}
	})
}
