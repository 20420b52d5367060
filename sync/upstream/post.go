package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"signalbox/sync/wire"
)

// poster is the way by HTTPS POST, for networks that no WebSocket crosses. There
// is no way back but in answers: the box asks more often, and nobody can watch
// it live.
type poster struct {
	*ending
	dialer *dialer
	target *url.URL
	out    chan event
	client *http.Client
	cancel context.CancelFunc

	mu    sync.Mutex
	about wire.Ask // goes along with each batch

	work chan *parcel // nil parcel: an Ask alone
	idle sync.WaitGroup
}

// postEvery is how often a box without a WebSocket asks whether something waits.
const postEvery = time.Minute

// postTimeout bounds one exchange.
const postTimeout = 60 * time.Second

// openPost has a first exchange with the cloud, so that a way which is given out
// is one that works.
func openPost(ctx context.Context, d *dialer, endpoint *url.URL, first wire.Ask) (*poster, error) {
	p := &poster{
		ending: newEnding(), dialer: d, target: &url.URL{Scheme: endpoint.Scheme, Host: endpoint.Host, Path: wire.FramesPath}, about: first,
		out: make(chan event, maxEvents), work: make(chan *parcel, maxFlights), client: d.client(),
	}
	st, err := p.exchange(ctx, nil)
	if err != nil {
		p.client.CloseIdleConnections()
		return nil, err
	}
	p.tell(event{standing: st})
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.idle.Go(func() { p.run(ctx) })
	return p, nil
}

func (p *poster) name() string { return wayPost }

func (p *poster) events() <-chan event { return p.out }

func (p *poster) probe() {}

// sound is now while an exchange is under way: that has a timeout of its own.
func (p *poster) sound() time.Time { return time.Now() }

func (p *poster) close() {
	p.cancel()
	p.idle.Wait()
	p.client.CloseIdleConnections()
	p.end(errClosed)
}

// run makes one exchange after the other.
func (p *poster) run(ctx context.Context) {
	for {
		var b *parcel
		select {
		case b = <-p.work:
		case <-ctx.Done():
			return
		}
		st, err := p.exchange(ctx, b)
		if err != nil {
			p.end(err)
			return
		}
		if b != nil {
			p.tell(event{acked: &receipt{last: b.last}})
		}
		p.tell(event{standing: st})
	}
}

func (p *poster) tell(e event) {
	select {
	case p.out <- e:
	default: // it is said again with the next exchange
	}
}

func (p *poster) send(ctx context.Context, b *parcel) error {
	select {
	case p.work <- b:
		return nil
	case <-p.over:
		return p.err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *poster) ask(a wire.Ask) error {
	p.mu.Lock()
	p.about = a
	p.mu.Unlock()
	select {
	case p.work <- nil:
	default: // batches wait, each of which asks too
	}
	return nil
}

// errNoLive is why there is no live view by POST.
var errNoLive = errors.New("no live view by POST")

func (p *poster) live(wire.Live) error { return errNoLive }

// exchange posts a batch, or nothing, and reads the Standing. A proof that the
// cloud does not know what to do with is made once more: it may have been a short
// one, for a node that has seen the box lately.
func (p *poster) exchange(ctx context.Context, b *parcel) (*standing, error) {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	body := []byte{}
	if b != nil {
		body = b.data
	}
	p.mu.Lock()
	about := p.about
	p.mu.Unlock()
	proof, answer, err := p.prove(ctx, body, about)
	if err == nil && answer.StatusCode == http.StatusUnauthorized {
		_ = answer.Body.Close()
		proof, answer, err = p.prove(ctx, body, about)
	}
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, refusedBy(answer)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, wire.MaxTalkBytes+1))
	if err != nil {
		return nil, p.dialer.fault(err)
	}
	if err := p.dialer.verify(proof, answer.Header, data); err != nil {
		return nil, err
	}
	st, err := wire.ParseStanding(data)
	if err != nil {
		return nil, fmt.Errorf("standing from the cloud: %w", err)
	}
	return &standing{st, about.Incarnation}, nil
}

// prove posts body with a proof, after it has asked for a challenge with an
// empty one.
func (p *poster) prove(ctx context.Context, body []byte, about wire.Ask) (*wire.Proof, *http.Response, error) {
	challenge, err := p.post(ctx, nil, "", about)
	if err != nil {
		return nil, nil, err
	}
	defer challenge.Body.Close()
	proof, err := p.dialer.answerChallenge(challenge, http.MethodPost, p.target, body)
	if err != nil {
		return nil, nil, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(challenge.Body, 4<<10)) // so that the connection can be used again
	answer, err := p.post(ctx, body, proof.Header(), about)
	return proof, answer, err
}

func (p *poster) post(ctx context.Context, body []byte, proof string, about wire.Ask) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/octet-stream")
	if proof != "" {
		ask, err := json.Marshal(about)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", proof)
		r.Header.Set(wire.AskHeader, string(ask))
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return nil, p.dialer.fault(err)
	}
	return answer, nil
}
