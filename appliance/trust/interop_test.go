//go:build interop

package trust

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const page = "a page from the box"

// serve serves the page over TLS on loopback until the test ends.
func serve(t *testing.T, cfg *tls.Config) (port string) {
	t.Helper()
	var listener net.ListenConfig
	l, err := listener.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, page) }),
		TLSConfig:         cfg,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // browsers that refuse us are the point
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeTLS(l, "", "") })
	t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// home is the folder of a user who has installed the root, or has not.
func home(t *testing.T, rootPEM []byte) string {
	t.Helper()
	dir := t.TempDir()
	db := filepath.Join(dir, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	steps := [][]string{{"-N", "--empty-password"}}
	if rootPEM != nil {
		path := filepath.Join(dir, "root.pem")
		put(t, path, rootPEM)
		steps = append(steps, []string{"-A", "-n", "signalbox", "-t", "C,,", "-i", path})
	}
	for _, args := range steps {
		out, err := exec.CommandContext(t.Context(), "certutil", append([]string{"-d", "sql:" + db}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("certutil %s: %v\n%s", args, err, out)
		}
	}
	return dir
}

// browse opens the address in a browser of that user and gives the page it shows
// and what it says on its terminal.
func browse(t *testing.T, home, url string) (page, terminal string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--host-resolver-rules=MAP * 127.0.0.1", "--user-data-dir="+filepath.Join(t.TempDir(), "profile"), "--dump-dom", url)
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home, "XDG_DATA_HOME="+home)
	// The browser is many processes; they end together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var dom, said strings.Builder
	cmd.Stdout, cmd.Stderr = &dom, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("chromium %s: %v\n%s", url, err, said.String())
	}
	return dom.String(), said.String()
}

// TestChromium: the browser's own verifier, with the root installed as a Linux
// user does it and without, and against a leaf beyond the root's constraints.
func TestChromium(t *testing.T) {
	for _, tool := range []string{"chromium", "certutil"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed (Debian: chromium, libnss3-tools)", tool)
		}
	}
	a := hall(t)
	port := serve(t, a.TLSConfig())

	// What somebody could make who has stolen the root's key.
	stolen, err := a.root.issueUnchecked(subjects{names: []string{"www.example.com"}}, a.root.windowAt(time.Now(), epoch))
	if err != nil {
		t.Fatal(err)
	}
	stolenPort := serve(t, &tls.Config{Certificates: []tls.Certificate{*stolen.cert}, MinVersion: tls.VersionTLS12})

	trusting, stranger := home(t, a.RootPEM()), home(t, nil)
	for _, test := range []struct {
		name, home, url string
		refusal         string // "": the page is seen
	}{
		{"by localhost", trusting, "https://localhost:" + port + "/", ""},
		{"by address", trusting, "https://127.0.0.1:" + port + "/", ""},
		{"by its mDNS name", trusting, "https://signalbox.local:" + port + "/", ""},
		{"by a name it does not have", trusting, "https://other.local:" + port + "/", "ERR_CERT_COMMON_NAME_INVALID"},
		{"without the root", stranger, "https://localhost:" + port + "/", "ERR_CERT_AUTHORITY_INVALID"},
		{"beyond the constraints", trusting, "https://www.example.com:" + stolenPort + "/", "ERR_CERT_INVALID"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dom, terminal := browse(t, test.home, test.url)
			if strings.Contains(dom, page) != (test.refusal == "") || !strings.Contains(terminal, test.refusal) {
				t.Errorf("%s: want the page or %q, got:\n%s%s", test.url, test.refusal, dom, terminal)
			}
		})
	}
}
