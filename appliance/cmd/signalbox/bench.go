package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/loadgen"
)

type benchCommand struct {
	URL      string   `name:"url" required:"" help:"The signaling address to load, like ws://box.local:8080/v1/signal." placeholder:"URL"`
	Conns    int      `help:"Connections; two of them share a room." default:"1000" placeholder:"N"`
	Rate     float64  `help:"Messages per second, of all connections together; 0 for as many as the box can carry." default:"1000" placeholder:"N"`
	Bytes    int      `help:"Size of a message's data." default:"1024" placeholder:"N"`
	Duration lifetime `help:"How long to send." default:"30s"`
	Patience lifetime `help:"How long to wait until all are connected; a box takes signaling.connect_rate of them per second." default:"60s"`
	Token    string   `help:"Token to connect with; it needs the rooms bench-* and the rights join, send and create." placeholder:"JWT"`
	Data     string   `help:"Folder of the box's state: take a token from the box that runs on it, and for wss its authority." placeholder:"DIR"`
	JSON     bool     `name:"json" help:"Print JSON."`
}

// Bounds of what one machine can make, and of what a slip of the finger may do.
const (
	mostConns    = 20_000
	mostRate     = 1_000_000
	mostDuration = time.Hour
	mostBytes    = 64 << 10
)

// benchResult is what a load has shown. Durations are milliseconds.
type benchResult struct {
	URL          string         `json:"url"`
	Conns        int            `json:"conns"`
	Connected    int            `json:"connected"`
	ConnectMS    float64        `json:"connect_ms"`
	Seconds      float64        `json:"seconds"`
	MessageBytes int            `json:"message_bytes"`
	Sent         uint64         `json:"sent"`
	Received     uint64         `json:"received"`
	PerSecond    float64        `json:"per_second"`
	Latency      benchLatency   `json:"latency_ms"`
	Errors       map[string]int `json:"errors"`
}

type benchLatency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Run loads only the address it is told, and stops by itself. Interrupted, it
// shows what it has.
func (c *benchCommand) Run(p *program) error {
	if err := c.check(); err != nil {
		return err
	}
	tokens, secure, err := c.credentials(p)
	if err != nil {
		return err
	}
	fleet, err := loadgen.NewFleet(loadgen.FleetOptions{
		URL: c.URL, Dialect: loadgen.Native{Tokens: tokens}, TLS: secure, Conns: c.Conns, DataBytes: c.Bytes,
		Patience: time.Duration(c.Patience), Rooms: fmt.Sprintf("bench-%x-", time.Now().UnixMilli()),
	})
	if err != nil {
		return usage("%v", err)
	}
	defer fleet.Close()
	result, err := c.load(p.ctx, fleet)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.stdout, result)
	}
	return result.print(p)
}

func (c *benchCommand) check() error {
	for _, bound := range []struct {
		flag             string
		got, least, most float64
	}{
		{"conns", float64(c.Conns), 2, mostConns},
		{"rate", c.Rate, 0, mostRate},
		{"bytes", float64(c.Bytes), 64, mostBytes},
		{"duration", time.Duration(c.Duration).Seconds(), 1, mostDuration.Seconds()},
		{"patience", time.Duration(c.Patience).Seconds(), 1, mostDuration.Seconds()},
	} {
		if !(bound.got >= bound.least && bound.got <= bound.most) {
			return usage("--%s: got %v, want %v to %v", bound.flag, bound.got, bound.least, bound.most)
		}
	}
	if c.Token != "" && c.Data != "" {
		return usage("give --token or --data, and not both")
	}
	return nil
}

// connsPerToken keeps far below signaling.sessions_per_subject.
const connsPerToken = 100

// credentials gives the tokens to connect with, none for a box with open
// admission, and whom to trust; nil for the authorities of this system.
func (c *benchCommand) credentials(p *program) (tokens []string, secure *tls.Config, err error) {
	if c.Token != "" {
		return []string{c.Token}, nil, nil
	}
	if c.Data == "" {
		return nil, nil, nil
	}
	box, err := dialBox(p.ctx, c.Data)
	err = with(box, err, func(box *client) error {
		for i := range (c.Conns + connsPerToken - 1) / connsPerToken {
			var made api.Token
			err := box.call(p.ctx, http.MethodPost, "/v1/tokens", api.TokenCreate{
				Subject: fmt.Sprintf("signalbox-bench-%d", i+1), Rooms: []string{"bench-*"}, Rights: []string{"join", "send", "create"},
				TTL: c.Duration.seconds() + c.Patience.seconds() + 600,
			}, &made)
			if err != nil {
				return err
			}
			tokens = append(tokens, made.Token)
		}
		if !strings.HasPrefix(c.URL, "wss:") {
			return nil
		}
		root, err := box.send(p.ctx, http.MethodGet, "/trust/ca.crt", nil)
		if err != nil {
			return err
		}
		secure = &tls.Config{RootCAs: x509.NewCertPool()}
		if !secure.RootCAs.AppendCertsFromPEM(root) {
			return errors.New("the box's certificate is not PEM")
		}
		return nil
	})
	return tokens, secure, err
}

func (c *benchCommand) load(ctx context.Context, fleet *loadgen.Fleet) (benchResult, error) {
	r := benchResult{URL: c.URL, Conns: c.Conns, MessageBytes: c.Bytes}
	start := time.Now()
	if err := fleet.Connect(ctx); err != nil && fleet.Ready() == 0 {
		return r, err
	}
	r.ConnectMS, r.Connected = milliseconds(time.Since(start)), fleet.Ready()
	start = time.Now()
	if err := c.send(ctx, fleet); err != nil && ctx.Err() == nil {
		return r, err
	}
	r.Seconds = min(time.Since(start).Seconds(), time.Duration(c.Duration).Seconds())
	r.Sent, r.Received, r.Errors = fleet.Sent(), fleet.Received(), fleet.Faults()
	r.PerSecond = float64(r.Received) / r.Seconds
	l := fleet.TakeLatency()
	r.Latency = benchLatency{
		Mean: milliseconds(l.Mean()), P50: milliseconds(l.Quantile(0.5)), P90: milliseconds(l.Quantile(0.9)),
		P99: milliseconds(l.Quantile(0.99)), P999: milliseconds(l.Quantile(0.999)), Max: milliseconds(l.Max()),
	}
	return r, nil
}

// send loads for as long as was asked.
func (c *benchCommand) send(ctx context.Context, fleet *loadgen.Fleet) error {
	if c.Rate > 0 {
		return fleet.Pace(ctx, c.Rate, time.Duration(c.Duration))
	}
	stop := fleet.Flood(1)
	defer stop()
	timer := time.NewTimer(time.Duration(c.Duration))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r benchResult) print(p *program) error {
	t := newTable(p.stdout)
	t.row("address", r.URL)
	t.row("connected", fmt.Sprintf("%d of %d in %.1fs", r.Connected, r.Conns, r.ConnectMS/1000))
	t.row("messages", fmt.Sprintf("%d sent, %d received in %.1fs, %d bytes each", r.Sent, r.Received, r.Seconds, r.MessageBytes))
	t.row("per second", fmt.Sprintf("%.0f", r.PerSecond))
	l := r.Latency
	t.row("latency", fmt.Sprintf("mean %.2f ms, p50 %.2f, p90 %.2f, p99 %.2f, p99.9 %.2f, most %.2f", l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max))
	if len(r.Errors) == 0 {
		t.row("errors", "none")
	}
	for i, code := range slices.SortedFunc(maps.Keys(r.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Errors[b], r.Errors[a]), strings.Compare(a, b))
	}) {
		name := ""
		if i == 0 {
			name = "errors"
		}
		t.row(name, fmt.Sprintf("%d times %s", r.Errors[code], code))
	}
	return t.Flush()
}
