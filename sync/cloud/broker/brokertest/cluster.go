package brokertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signalbox/sync/cloud/broker"
)

// password of the cloud at a Cluster.
const password = "for-tests"

// Cluster is nats-servers of their own processes, set up as CalloutConfig says.
type Cluster struct {
	URLs    []string // one a server
	Seed    string   // of the callout account
	servers []*exec.Cmd
	binary  string
	confs   []string
}

// StartCluster builds nats-server and starts nodes of it on loopback, with
// settings added to the configuration of each. They end with the test.
func StartCluster(t testing.TB, nodes int, settings string) *Cluster {
	t.Helper()
	dir := t.TempDir()
	c := &Cluster{binary: build(t), servers: make([]*exec.Cmd, nodes)}
	var err error
	if c.Seed, err = broker.NewCalloutSeed(); err != nil {
		t.Fatal(err)
	}
	common, err := broker.CalloutConfig(c.Seed, broker.DefaultAccount, "cloud")
	if err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 2*nodes)
	var routes []string
	for _, port := range ports[nodes:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	for i := range nodes {
		store := filepath.Join(dir, fmt.Sprintf("store-%d", i))
		conf := strings.ReplaceAll(common, "/var/lib/nats", store) +
			fmt.Sprintf("listen: 127.0.0.1:%d\nserver_name: n%d\n%s\n", ports[i], i, settings)
		if nodes > 1 {
			conf += fmt.Sprintf("cluster { name: c, listen: 127.0.0.1:%d, routes: [ %s ] }\n", ports[nodes+i], strings.Join(routes, ", "))
		}
		file := filepath.Join(dir, fmt.Sprintf("n%d.conf", i))
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		c.confs = append(c.confs, file)
		c.URLs = append(c.URLs, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.Kill(i)
		}
	})
	for i := range nodes {
		c.Start(t, i)
	}
	return c
}

// build makes the nats-server of the version in go.mod, which is done at once
// when it is there already.
func build(t testing.TB) string {
	t.Helper()
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "bin", "tools", "nats-server")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	return binary
}

// Start starts a server that does not run.
func (c *Cluster) Start(t testing.TB, i int) {
	t.Helper()
	log, err := os.Create(c.confs[i] + ".log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(c.binary, "-c", c.confs[i])
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "SIGNALBOX_NATS_PASSWORD="+password)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.servers[i] = cmd
	addr := strings.TrimPrefix(c.URLs[i], "nats://")
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(c.confs[i] + ".log")
			t.Fatalf("nats-server does not start: %v\n%s", err, text)
		}
	}
}

// Kill ends a server at once, as a power cut would.
func (c *Cluster) Kill(i int) {
	if cmd := c.servers[i]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		c.servers[i] = nil
	}
}

// Config is that of a cloud node of this cluster.
func (c *Cluster) Config() broker.Config {
	return broker.Config{NATS: c.URLs, User: "cloud", Password: password, CalloutSeed: c.Seed, UpBytes: 64 << 20, RollupBytes: 16 << 20}
}

// freePorts finds ports of loopback that nobody has.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
