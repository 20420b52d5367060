//go:build linux && interop

package faults_test

import (
	"context"
	"crypto"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"

	"signalbox/sync/wire"
)

const (
	cryptoNone   = crypto.Hash(0)
	cryptoSHA256 = crypto.SHA256
)

// attack is something a box must not do, and the counter that has to show it.
type attack struct {
	name   string
	metric string
	reason string
	do     func(context.Context, *hostile) error
}

// counter is the sample at the node.
func (a *attack) counter() string {
	return fmt.Sprintf("signalbox_cloud_%s{reason=%q}", a.metric, a.reason)
}

const (
	atGateway  = "gateway_refused_total"
	atIdentity = "identity_refused_total"
	atTunnel   = "tunnels_closed_total"
	atBatch    = "batches_refused_total"
	atAsk      = "asks_refused_total"
)

// inTunnel are what the guard of a tunnel has to find.
var inTunnel = []attack{
	{"a verb of servers", atTunnel, "verb", func(ctx context.Context, h *hostile) error { return h.raw(ctx, "RMSG x y 1\r\nx\r\n") }},
	{"random bytes", atTunnel, "line", func(ctx context.Context, h *hostile) error {
		return h.raw(ctx, string(append(random(64), '\r', '\n')), string(append(random(8<<10), '\r', '\n')))
	}},
	{"another's session", atTunnel, "session", func(ctx context.Context, h *hostile) error {
		return h.raw(ctx, "CONNECT {\"user\":\"stolen\"}\r\n")
	}},
	{"another's frames", atTunnel, "subject", func(ctx context.Context, h *hostile) error {
		return h.raw(ctx, "PUB "+h.victim.box.FramesSubject()+" 5\r\nhello\r\n")
	}},
	{"another's nudges", atTunnel, "subject", func(ctx context.Context, h *hostile) error {
		return h.raw(ctx, "SUB "+h.victim.box.NudgeSubject()+" 7\r\n")
	}},
	{"purging the stream", atTunnel, "reply", func(ctx context.Context, h *hostile) error {
		return h.raw(ctx, "PUB "+h.box.AskSubject()+" $JS.API.STREAM.PURGE.UP 2\r\n{}\r\n")
	}},
	{"answers to another", atTunnel, "reply", func(ctx context.Context, h *hostile) error {
		return h.raw(ctx, "PUB "+h.box.FramesSubject()+" "+h.victim.box.NudgeSubject()+" 2\r\n{}\r\n")
	}},
	{"a large payload", atTunnel, "size", func(ctx context.Context, h *hostile) error {
		return h.raw(ctx, fmt.Sprintf("PUB %s %d\r\n", h.box.FramesSubject(), wire.MaxPayloadBytes+1))
	}},
	{"a header for the broker", atTunnel, "header", func(ctx context.Context, h *hostile) error {
		header := "NATS/1.0\r\nNats-Rollup: all\r\n\r\n"
		return h.raw(ctx, fmt.Sprintf("HPUB %s %d %d\r\n%s\r\n", h.box.FramesSubject(), len(header), len(header), header))
	}},
	{"another's message id", atTunnel, "msg_id", func(ctx context.Context, h *hostile) error {
		header := "NATS/1.0\r\nNats-Msg-Id: " + h.victim.box.MsgID(1, 1) + "-1\r\n\r\n"
		return h.raw(ctx, fmt.Sprintf("HPUB %s %d %d\r\n%s\r\n", h.box.FramesSubject(), len(header), len(header), header))
	}},
	{"many subscriptions", atTunnel, "subscriptions", func(ctx context.Context, h *hostile) error {
		var lines strings.Builder
		for i := range 40 {
			fmt.Fprintf(&lines, "SUB %s.%d %d\r\n", h.box.InboxPrefix(), i, i)
		}
		return h.raw(ctx, lines.String())
	}},
	{"a text message", atTunnel, "message", func(ctx context.Context, h *hostile) error {
		ws, _, err := h.dialer().Open(ctx, h.id, h.url)
		if err != nil {
			return err
		}
		defer ws.Close()
		_ = ws.WriteMessage(websocket.TextMessage, []byte("hello"))
		_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, _, _ = ws.NextReader()
		return nil
	}},
	{"three tunnels", atTunnel, "replaced", func(ctx context.Context, h *hostile) error {
		for range 3 {
			ws, _, err := h.dialer().Open(ctx, h.id, h.url)
			if err != nil {
				return err
			}
			defer ws.Close()
		}
		return nil
	}},
}

// inStream are batches that only their reader can judge.
var inStream = []attack{
	{"random frames", atBatch, "malformed", func(ctx context.Context, h *hostile) error { return h.publish(ctx, h.frames(random(300))) }},
	{"tiny messages", atBatch, "foreign", func(ctx context.Context, h *hostile) error { return h.publish(ctx, h.frames(nil)) }},
	{"a truncated batch", atBatch, "malformed", func(ctx context.Context, h *hostile) error {
		data, err := h.batch([]byte("half of it"), nil)
		if err != nil {
			return err
		}
		return h.publish(ctx, h.frames(data[:len(data)/2]))
	}},
	{"an oversized batch", atBatch, "oversize", func(ctx context.Context, h *hostile) error {
		return h.publish(ctx, h.frames(random(wire.MaxBatchBytes+1)))
	}},
	{"a bomb", atBatch, "oversize", func(ctx context.Context, h *hostile) error {
		data, err := h.batch(make([]byte, 64<<20), nil)
		if err != nil {
			return err
		}
		return h.publish(ctx, h.frames(data))
	}},
	{"a forged signature", atBatch, "signature", func(ctx context.Context, h *hostile) error {
		return h.send(ctx, nil, func(b *wire.Batch) { b.Signature[5] ^= 1 })
	}},
	{"a key that it never had", atBatch, "unknown-key", func(ctx context.Context, h *hostile) error {
		return h.send(ctx, nil, func(b *wire.Batch) { b.Key++ })
	}},
	{"another's batch", atBatch, "foreign", func(ctx context.Context, h *hostile) error {
		s, err := wire.NewSigner(h.victim.box, h.victim.id.Signer())
		if err != nil {
			return err
		}
		data, err := wire.EncodeBatch(s, h.body())
		if err != nil {
			return err
		}
		return h.publish(ctx, h.frames(data))
	}},
	{"frames that overlap", atBatch, "sequence", func(ctx context.Context, h *hostile) error {
		return h.send(ctx, func(b *wire.Body) { b.Frames = append(b.Frames, b.GetFrames()[0]) }, nil)
	}},
	{"too many frames", atBatch, "limit", func(ctx context.Context, h *hostile) error {
		return h.send(ctx, func(b *wire.Body) {
			for range wire.MaxBatchFrames {
				b.Frames = append(b.Frames, b.GetFrames()[0])
			}
		}, nil)
	}},
	{"a time that no clock shows", atBatch, "time", func(ctx context.Context, h *hostile) error {
		return h.send(ctx, func(b *wire.Body) { b.SentMs = -1 }, nil)
	}},
	{"an ask of nonsense", atAsk, "malformed", func(ctx context.Context, h *hostile) error {
		return h.publish(ctx, &nats.Msg{Subject: h.box.AskSubject(), Reply: h.box.InboxPrefix() + ".x", Data: random(40)})
	}},
	{"an ask without a reply", atAsk, "reply", func(ctx context.Context, h *hostile) error {
		return h.publish(ctx, &nats.Msg{Subject: h.box.AskSubject(), Data: h.askText()})
	}},
	{"asks all the time", atAsk, "too-often", func(ctx context.Context, h *hostile) error {
		asks := make([]*nats.Msg, 300)
		for i := range asks {
			asks[i] = &nats.Msg{Subject: h.box.AskSubject(), Reply: h.box.InboxPrefix() + ".x", Data: h.askText()}
		}
		return h.publish(ctx, asks...)
	}},
}

// atDoor are requests that must not come in.
var atDoor = []attack{
	{"no WebSocket", atGateway, "no_websocket", func(ctx context.Context, h *hostile) error {
		_, err := h.request(ctx, fromProofs, http.MethodGet, wire.TunnelPath, nil, nil, nil)
		return err
	}},
	{"another method", atGateway, "method", func(ctx context.Context, h *hostile) error {
		_, err := h.request(ctx, fromProofs, http.MethodPut, wire.FramesPath, nil, nil, nil)
		return err
	}},
	{"from a page", atGateway, "origin", func(ctx context.Context, h *hostile) error {
		d := websocket.Dialer{TLSClientConfig: noProtos(h.id.TLS()), Subprotocols: []string{wire.TunnelSubprotocol}, NetDialContext: dialFrom(fromProofs)}
		_, answer, _ := d.DialContext(ctx, "wss"+strings.TrimPrefix(h.url, "https")+wire.TunnelPath, http.Header{"Origin": {"https://evil.example"}})
		if answer == nil {
			return fmt.Errorf("no answer")
		}
		return answer.Body.Close()
	}},
	{"a proof of nonsense", atIdentity, "malformed", func(ctx context.Context, h *hostile) error {
		_, err := h.request(ctx, fromProofs, http.MethodPost, wire.FramesPath, http.Header{"Authorization": {wire.ProofScheme + " " + randomText(300)}}, nil, nil)
		return err
	}},
	{"a long proof", atIdentity, "oversize", func(ctx context.Context, h *hostile) error {
		_, err := h.request(ctx, fromProofs, http.MethodPost, wire.FramesPath, http.Header{"Authorization": {wire.ProofScheme + " " + randomText(wire.MaxProofBytes)}}, nil, nil)
		return err
	}},
	{"a nonce made up", atIdentity, "nonce_forged", func(ctx context.Context, h *hostile) error {
		return h.proofs(ctx, fromProofs, func(string, *url.URL) (*wire.Proof, error) {
			return h.good(nil)(randomText(40), &url.URL{Path: wire.FramesPath})
		})
	}},
	{"a proof of another request", atIdentity, "signature", func(ctx context.Context, h *hostile) error {
		return h.proofs(ctx, fromProofs, func(nonce string, _ *url.URL) (*wire.Proof, error) {
			return h.good(nil)(nonce, &url.URL{Path: wire.RenewPath})
		})
	}},
	{"a certificate of nobody", atIdentity, "chain", func(ctx context.Context, h *hostile) error {
		key, der, err := h.stranger()
		if err != nil {
			return err
		}
		return h.proofs(ctx, fromProofs, func(nonce string, target *url.URL) (*wire.Proof, error) {
			return wire.NewProof(key, [][]byte{der}, nonce, http.MethodPost, wire.Target(target), nil)
		})
	}},
	{"a certificate left out", atIdentity, "chain_unknown", func(ctx context.Context, h *hostile) error {
		return h.proofs(ctx, fromProofs, func(nonce string, target *url.URL) (*wire.Proof, error) {
			p, err := h.good(nil)(nonce, target)
			if err == nil {
				p.Leaf, p.Chain = random(32), nil
			}
			return p, err
		})
	}},
	{"a proof again", atIdentity, "replayed", func(ctx context.Context, h *hostile) error {
		var used *wire.Proof
		err := h.proofs(ctx, fromProofs, func(nonce string, target *url.URL) (p *wire.Proof, err error) {
			used, err = h.good(nil)(nonce, target)
			return used, err
		})
		if err != nil || used == nil {
			return err
		}
		return h.proofs(ctx, fromProofs, func(string, *url.URL) (*wire.Proof, error) { return used, nil })
	}},
	{"another body than proven", atGateway, "digest", func(ctx context.Context, h *hostile) error {
		_, err := h.request(ctx, fromPosts, http.MethodPost, wire.FramesPath, askHeader(string(h.askText())), random(300), h.good([]byte("another")))
		return err
	}},
	{"a post without an ask", atGateway, "ask", func(ctx context.Context, h *hostile) error {
		body := random(300)
		_, err := h.request(ctx, fromPosts, http.MethodPost, wire.FramesPath, askHeader("nonsense"), body, h.good(body))
		return err
	}},
	{"a large post", atGateway, "oversize", func(ctx context.Context, h *hostile) error {
		// It may be answered and closed before all is sent.
		_, _ = h.request(ctx, fromPosts, http.MethodPost, wire.FramesPath, askHeader("{}"), random(wire.MaxBatchBytes+1), nil)
		return nil
	}},
	{"bad proofs all the time", atGateway, "source", func(ctx context.Context, h *hostile) error {
		for range 200 {
			status, err := h.request(ctx, fromAll, http.MethodPost, wire.FramesPath, http.Header{"Authorization": {wire.ProofScheme + " " + randomText(300)}}, nil, nil)
			if err != nil || status == http.StatusTooManyRequests {
				return err
			}
		}
		return fmt.Errorf("200 bad proofs from %s were looked at", fromAll)
	}},
}
