//go:build linux && interop

package faults_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"signalbox/sync/bench/fleet"
	"signalbox/sync/upstream/identity"
	"signalbox/sync/wire"
)

// Addresses of a hostile box's host: one for each of what it does, since what an
// address has done wrong holds up all that comes from it.
const (
	fromTunnels = "127.0.0.2"
	fromProofs  = "127.0.0.3"
	fromPosts   = "127.0.0.4"
	fromAll     = "127.0.0.5"
)

// hostile is a box that has joined and has an identity of its own, and uses it
// for anything but what it is for.
type hostile struct {
	id     *identity.Identity
	box    wire.BoxID
	url    string
	victim *edge // whose subjects, inboxes and frames it tries
	seq    uint64
}

func newHostile(t *testing.T, c *center, victim *edge) *hostile {
	t.Helper()
	endpoint := "https://" + c.order.HTTPS
	id, err := c.admin.Join(t.Context(), "siteh", "hostile", endpoint, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &hostile{id: id, box: id.Box(), url: endpoint, victim: victim}
}

func dialFrom(address string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: 10 * time.Second}
	return d.DialContext
}

func (h *hostile) dialer() *fleet.Dialer {
	return &fleet.Dialer{TLS: noProtos(h.id.TLS()), Dial: dialFrom(fromTunnels)}
}

// raw opens a tunnel and says these lines in it, after a CONNECT if they begin
// with none, until the gateway ends it.
func (h *hostile) raw(ctx context.Context, text ...string) error {
	ws, session, err := h.dialer().Open(ctx, h.id, h.url)
	if err != nil {
		return err
	}
	defer ws.Close()
	stop := context.AfterFunc(ctx, func() { ws.Close() })
	defer stop()
	hello := fmt.Sprintf("CONNECT {\"verbose\":false,\"user\":%q}\r\nPING\r\n", session)
	if !strings.HasPrefix(text[0], "CONNECT") {
		text = append([]string{hello}, text...)
	}
	for _, line := range text {
		_ = ws.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if err := ws.WriteMessage(websocket.BinaryMessage, []byte(line)); err != nil {
			return nil // it has been thrown out before the end
		}
	}
	_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		if _, _, err := ws.NextReader(); err != nil {
			return nil
		}
	}
}

// publish sends messages through a connection of its own.
func (h *hostile) publish(ctx context.Context, messages ...*nats.Msg) error {
	nc, err := h.dialer().Connect(ctx, h.id, h.url, nil)
	if err != nil {
		return err
	}
	defer nc.Close()
	for _, m := range messages {
		if err := nc.PublishMsg(m); err != nil {
			return err
		}
	}
	return nc.FlushTimeout(20 * time.Second)
}

func (h *hostile) frames(data []byte) *nats.Msg {
	return &nats.Msg{Subject: h.box.FramesSubject(), Data: data}
}

// body is one with a frame that nothing is wrong with.
func (h *hostile) body() *wire.Body {
	now := time.Now().UnixMilli()
	h.seq++
	return &wire.Body{Incarnation: 77, Oldest: 1, SentMs: now, Boot: 1, MonoMs: 1000, Frames: []*wire.Frame{{
		First: h.seq, Last: h.seq, StartMs: now - 1000, EndMs: now, Boot: 1, MonoMs: 1000,
		CounterIds: []uint32{uint32(wire.SignalingOffers)}, CounterValues: []uint64{h.seq},
	}}}
}

// batch signs whatever it is given, as wire.EncodeBatch does what is right.
func (h *hostile) batch(raw []byte, change func(*wire.Batch)) ([]byte, error) {
	key, err := wire.KeyID(h.id.Signer().Public())
	if err != nil {
		return nil, err
	}
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer packer.Close()
	b := &wire.Batch{Box: h.box.String(), Key: key, Body: packer.EncodeAll(raw, nil)}
	message := slicesOf("signalbox batch 1\x00", b.GetBox(), "\x00", string(b.GetBody()))
	if _, ok := h.id.Signer().Public().(ed25519.PublicKey); ok {
		b.Signature, err = h.id.Signer().Sign(rand.Reader, message, cryptoNone)
	} else {
		sum := sha256.Sum256(message)
		b.Signature, err = h.id.Signer().Sign(rand.Reader, sum[:], cryptoSHA256)
	}
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(b)
	}
	return proto.Marshal(b)
}

func slicesOf(parts ...string) []byte { return []byte(strings.Join(parts, "")) }

// send publishes a body after something was done to it, or to the batch it is in.
func (h *hostile) send(ctx context.Context, spoil func(*wire.Body), change func(*wire.Batch)) error {
	body := h.body()
	if spoil != nil {
		spoil(body)
	}
	raw, err := proto.Marshal(body)
	if err != nil {
		return err
	}
	data, err := h.batch(raw, change)
	if err != nil {
		return err
	}
	return h.publish(ctx, h.frames(data))
}

// request is one over HTTP from one of the box's addresses, with this proof of
// its own in answer to a challenge; nil: none.
func (h *hostile) request(ctx context.Context, from, method, path string, header http.Header, body []byte, prove func(nonce string, target *url.URL) (*wire.Proof, error)) (int, error) {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: noProtos(h.id.TLS()), DialContext: dialFrom(from), DisableKeepAlives: prove == nil,
	}}
	defer client.CloseIdleConnections()
	target, err := url.Parse(h.url + path)
	if err != nil {
		return 0, err
	}
	do := func(header http.Header, body []byte) (status int, challenge string, err error) {
		r, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		r.Header = header.Clone()
		answer, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode, answer.Header.Get("WWW-Authenticate"), nil
	}
	if header == nil {
		header = http.Header{}
	}
	if prove != nil {
		status, challenge, err := do(header, nil)
		if err != nil {
			return 0, err
		}
		nonce, _ := wire.ParseChallenge(challenge)
		proof, err := prove(nonce, target)
		if err != nil {
			return status, err
		}
		header = header.Clone()
		header.Set("Authorization", proof.Header())
	}
	status, _, err := do(header, body)
	return status, err
}

// proofs are requests for which something is done to a good proof.
func (h *hostile) proofs(ctx context.Context, from string, change func(nonce string, target *url.URL) (*wire.Proof, error)) error {
	_, err := h.request(ctx, from, http.MethodPost, wire.FramesPath, askHeader("{}"), nil, change)
	return err
}

func (h *hostile) good(body []byte) func(string, *url.URL) (*wire.Proof, error) {
	return func(nonce string, target *url.URL) (*wire.Proof, error) {
		return h.id.Prove(nonce, http.MethodPost, target, body)
	}
}

func askHeader(text string) http.Header { return http.Header{wire.AskHeader: {text}} }

func (h *hostile) askText() []byte {
	text, err := json.Marshal(wire.Ask{Version: "v0.0.0", Incarnation: 77, Oldest: 1, Newest: h.seq, Now: time.Now()})
	if err != nil {
		panic(err) // numbers and times always marshal
	}
	return text
}

// stranger is a certificate that names the victim and that nobody has issued.
func (h *hostile) stranger() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	id := &url.URL{Scheme: "spiffe", Host: h.id.Domain(), Path: h.victim.box.Path()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{id}, KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return key, der, err
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func randomText(n int) string { return base64.RawURLEncoding.EncodeToString(random(n)) }
