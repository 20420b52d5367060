package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxInfo bounds the INFO line of a server, with the addresses of its cluster.
const maxInfo = 32 << 10

// readInfo reads the line that a NATS server begins with. It reads byte by byte:
// what follows may be TLS, and is not ours to take.
func readInfo(r io.Reader) ([]byte, error) {
	line := make([]byte, 0, 512)
	one := make([]byte, 1)
	for len(line) < maxInfo {
		if _, err := io.ReadFull(r, one); err != nil {
			return nil, fmt.Errorf("first line: %w", err)
		}
		line = append(line, one[0])
		if one[0] == '\n' {
			return line, nil
		}
	}
	return nil, fmt.Errorf("first line: got more than %d bytes, want INFO of a NATS server", maxInfo)
}

// infoForBox takes out of an INFO line what is not the box's business: that TLS
// is wanted, which the cloud sees to, and where the servers are.
func infoForBox(line []byte) (out []byte, wantsTLS bool, err error) {
	document, ok := bytes.CutPrefix(line, []byte("INFO "))
	if !ok {
		return nil, false, fmt.Errorf("first line: got %.40q, want INFO of a NATS server", line)
	}
	var info map[string]json.RawMessage
	if err := json.Unmarshal(document, &info); err != nil {
		return nil, false, fmt.Errorf("first line: %w", err)
	}
	if info == nil {
		return nil, false, errors.New("first line: got null, want INFO of a NATS server")
	}
	wantsTLS = string(info["tls_required"]) == "true"
	for _, key := range []string{
		"tls_required", "tls_available", "tls_verify", "connect_urls", "ws_connect_urls", "host", "port", "ip", "client_ip",
	} {
		delete(info, key)
	}
	text, err := json.Marshal(info)
	if err != nil {
		return nil, false, fmt.Errorf("first line: %w", err)
	}
	return append(append([]byte("INFO "), text...), "\r\n"...), wantsTLS, nil
}
