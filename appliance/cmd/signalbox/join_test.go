package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"signalbox/appliance/store"
	cloudside "signalbox/sync/cloud/identity"
	"signalbox/sync/cloud/identity/identitytest"
	"signalbox/sync/upstream/identity"
)

// cloudAt serves enrolment over TLS until the test ends.
func cloudAt(t *testing.T) (*cloudside.Authority, *cloudside.Registrar, string) {
	t.Helper()
	authority, err := cloudside.Open(cloudside.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	registrar, err := cloudside.NewRegistrar(cloudside.RegistrarConfig{Authority: authority, Registry: identitytest.NewRegistry("hall-2")})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.ServerCertificate(cloudside.ServerConfig{Names: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", cert.TLSConfig())
	if err != nil {
		t.Fatal(err)
	}
	s, done := &http.Server{Handler: registrar.Handler()}, make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // until it is closed
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return authority, registrar, "https://" + net.JoinHostPort("127.0.0.1", strings.TrimPrefix(l.Addr().String(), "127.0.0.1:"))
}

// TestJoin pastes what the cloud printed at a box that is stopped.
func TestJoin(t *testing.T) {
	authority, registrar, url := cloudAt(t)
	dir := t.TempDir()
	cfg := store.Default()
	cfg.Dir = dir
	made, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	boxID := made.BoxID()
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	token, _, err := registrar.NewToken(context.Background(), cloudside.TokenOptions{Site: "hall-2", Uses: 1})
	if err != nil {
		t.Fatal(err)
	}
	command := append(strings.Fields(authority.JoinCommand(url, token))[1:], "--data", dir, "--config", "/dev/null")
	var stdout, stderr bytes.Buffer
	p := &program{ctx: context.Background(), stdout: &stdout, stderr: &stderr, version: "1.2.3"}
	// As a provisioning file joins: arguments are in view of everybody.
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token.Text()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	unseen := slices.Clone(command)
	i := slices.Index(unseen, "--token")
	unseen[i], unseen[i+1] = "--token-file", file
	if code := run(p, append(unseen, "--json")); code != exitDone || stderr.Len() > 0 {
		t.Fatalf("exit %d: %s", code, &stderr)
	}
	var printed struct{ Cloud, Site, Box string }
	if err := json.Unmarshal(stdout.Bytes(), &printed); err != nil || printed.Site != "hall-2" || printed.Box != boxID || printed.Cloud != url {
		t.Errorf("printed %s", &stdout)
	}
	if in, err := identity.Open(dir, identity.Options{}); err != nil || in.Box().Box != boxID {
		t.Errorf("open: %v", err)
	}
	stdout.Reset()
	if code := run(p, command); code != exitFailed || !strings.Contains(stderr.String(), "give --again") {
		t.Errorf("exit %d: %s", code, &stderr)
	}
	stderr.Reset()
	if code := run(p, append(command, "--again")); code != exitFailed || !strings.Contains(stderr.String(), "the token is used up") {
		t.Errorf("exit %d: %s", code, &stderr)
	}
}
