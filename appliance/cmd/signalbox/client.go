package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"signalbox/appliance"
	"signalbox/appliance/control"
	"signalbox/internal/jsonapi"
)

// maxAnswerBytes is more than any answer of the API has.
const maxAnswerBytes = 64 << 20

// A client speaks the JSON API of one box with the rights of an administrator:
// over the control socket of a box that runs, or to the API itself, in this
// process, on the state of one that is stopped.
type client struct {
	http    http.Client
	base    string // of a box that is reached over the network
	token   string // to show there
	running bool
	close   func() error
}

// dialBox connects to the box that runs on dir; control.ErrStopped if none does.
func dialBox(ctx context.Context, dir string) (*client, error) {
	first, err := control.Dial(ctx, dir)
	if errors.Is(err, control.ErrStopped) {
		// A service whose disk cannot be written runs from memory.
		memory := filepath.Join("/run", filepath.Base(dir), appliance.MemoryDir)
		if conn, memoryErr := control.Dial(ctx, memory); memoryErr == nil {
			first, dir, err = conn, memory, nil
		}
	}
	if err != nil {
		return nil, err
	}
	connections := make(chan net.Conn, 1)
	connections <- first
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case conn := <-connections:
				return conn, nil
			default:
				return control.Dial(ctx, dir)
			}
		},
	}
	closeAll := func() error {
		transport.CloseIdleConnections()
		select {
		case conn := <-connections:
			return conn.Close()
		default:
			return nil
		}
	}
	return &client{http: http.Client{Transport: transport}, running: true, close: closeAll}, nil
}

// call makes a request with in as its body, unless that is nil, and decodes the
// answer into out, unless that is nil. What the box refuses is a *refused.
func (c *client) call(ctx context.Context, method, path string, in, out any, header ...string) error {
	answer, err := c.send(ctx, method, path, in, header...)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the box's answer to %s %s: %w", method, path, err)
	}
	return nil
}

// send is call without knowing what the answer is. header is names and values.
func (c *client) send(ctx context.Context, method, path string, in any, header ...string) ([]byte, error) {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://signalbox"+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := c.http.Do(r)
	if err != nil {
		if fault, ok := errors.AsType[*url.Error](err); ok {
			err = fault.Err // without the made-up URL
		}
		if fault, ok := errors.AsType[*net.OpError](err); ok {
			err = fault.Err // without the socket's name, which may be one of /proc
		}
		return nil, fmt.Errorf("ask the box: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return nil, fmt.Errorf("read the box's answer: %w", err)
	}
	if response.StatusCode >= 400 {
		return nil, refusal(response.Status, answer)
	}
	return answer, nil
}

// copyTo writes the answer to a GET to w, whatever its size.
func (c *client) copyTo(ctx context.Context, path string, w io.Writer) error {
	response, err := c.get(ctx, path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	n, err := io.Copy(w, response.Body)
	if err == nil && response.ContentLength >= 0 && n != response.ContentLength {
		err = fmt.Errorf("got %d bytes, want %d", n, response.ContentLength)
	}
	if err != nil {
		return fmt.Errorf("the box broke off: %w", err)
	}
	return nil
}

func (c *client) get(ctx context.Context, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, cmp.Or(c.base, "http://signalbox")+path, nil)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the box: %w", err)
	}
	if response.StatusCode < 400 {
		return response, nil
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return nil, fmt.Errorf("read the box's answer: %w", err)
	}
	return nil, refusal(response.Status, answer)
}

// remoteBox is a box that is reached over the network with a token.
func remoteBox(address, token, caFile string) (*client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" {
		return nil, usage("--from: got %q, want https://HOST or https://HOST:PORT", address)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate; want the PEM that signalbox trust prints", caFile)
		}
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment}
	return &client{
		http: http.Client{Transport: transport}, base: "https://" + u.Host, token: token, running: true,
		close: func() error { transport.CloseIdleConnections(); return nil },
	}, nil
}

// refused is what the box had against a request.
type refused struct{ fault jsonapi.Error }

func (r *refused) Error() string { return r.fault.Message }

func refusal(status string, answer []byte) error {
	var failure jsonapi.Failure
	if err := json.Unmarshal(answer, &failure); err != nil || failure.Error.Message == "" {
		return fmt.Errorf("the box answered %s", status)
	}
	return &refused{failure.Error}
}

// inProcess makes requests of a handler without a network in between.
type inProcess struct{ http.Handler }

func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	w := &memory{header: http.Header{}}
	t.ServeHTTP(w, r)
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

// memory keeps an answer.
type memory struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (m *memory) Header() http.Header { return m.header }

func (m *memory) WriteHeader(status int) {
	if m.status == 0 {
		m.status = status
	}
}

func (m *memory) Write(p []byte) (int, error) { return m.body.Write(p) }
