package appliance

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

var update = flag.Bool("update", false, "write METRICS.md instead of comparing it")

// relayMetrics collects what a relay exports, and nothing else of a box.
type relayMetrics struct{ collector }

func (r relayMetrics) Collect(out chan<- prometheus.Metric) {
	r.collectRelay(
		func(d *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		},
		func(d *prometheus.Desc, v uint64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
		})
}

// scrape gathers the families of a relay by their names.
func scrape(t *testing.T, relay *turn.Server) map[string]*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(relayMetrics{collector{&Appliance{relay: relay}}})
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	families := map[string]*dto.MetricFamily{}
	for _, f := range gathered {
		families[f.GetName()] = f
	}
	return families
}

// exportedAs says where each field of turn.Stats is exported.
var exportedAs = map[string][]string{
	"Allocations":        {"allocations"},
	"Users":              {"users"},
	"Conns":              {"conns"},
	"Draining":           {"draining"},
	"Bindings":           {"bindings_total"},
	"Created":            {"allocations_total"},
	"ToPeers":            {"relayed_packets_total", "relayed_bytes_total"},
	"ToClients":          {"relayed_packets_total", "relayed_bytes_total"},
	"Relayed":            {"relayed_packets_total", "relayed_bytes_total"},
	"Refused":            {"refused_total"},
	"Dropped":            {"dropped_total"},
	"Closed":             {"closed_total"},
	"AcceptErrors":       {"accept_errors_total"},
	"ReadErrors":         {"read_errors_total"},
	"QuotasForgotten":    {"quotas_forgotten_total"},
	"Segmented":          {"segmented_packets_total"},
	"Overflowed":         {"overflowed_total"},
	"RefusedDraining":    {"refused_draining_total"},
	"RefusedCredentials": {"refused_credentials_total"},
}

// TestEverythingTheRelayCountsIsExported fails when turn.Stats gets a field
// that no metric shows, and when a metric shows none.
func TestEverythingTheRelayCountsIsExported(t *testing.T) {
	families := scrape(t, turntest.Start(t))
	exported := map[string]bool{}
	for field := range reflect.TypeFor[turn.Stats]().Fields() {
		names, ok := exportedAs[field.Name]
		if !ok {
			t.Errorf("turn.Stats.%s is exported nowhere", field.Name)
		}
		for _, name := range names {
			name = "signalbox_turn_" + name
			exported[name] = true
			if families[name] == nil {
				t.Errorf("turn.Stats.%s: there is no %s", field.Name, name)
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(families)), slices.Sorted(maps.Keys(exported)); !slices.Equal(got, want) {
		t.Errorf("exported are %v, want %v", got, want)
	}
}

// TestMetricsAreDocumented compares METRICS.md with what is exported.
func TestMetricsAreDocumented(t *testing.T) {
	var doc bytes.Buffer
	doc.WriteString("# Metrics of the relay\n\nAt `/metrics`, for Prometheus. Counters run since the box started. No label holds anything that\n" +
		"a client can choose; what single users do is told by `signalbox status --users` and the API only.\n\n")
	table(&doc, scrape(t, turntest.Start(t)))
	doc.WriteString("\n# Metrics of the link to the cloud\n\nAt `/metrics` too. All of them are there before a box has joined.\n\n")
	table(&doc, scrapeUpstream(t, newAgent(t)))
	doc.WriteString("\n# What the box has\n\nAt `/metrics` too, for alerts that look ahead. Open files and their limit are `process_open_fds` and `process_max_fds`.\n\n")
	table(&doc, scrapeBox(t, func(c collector) prometheus.Collector { return limitsMetrics{c} }))
	doc.WriteString("\n# What is open on the ports for HTTP\n\nAt `/metrics` too.\n\n")
	table(&doc, scrapeBox(t, func(c collector) prometheus.Collector { return crowdMetrics{c} }))
	if *update {
		if err := os.WriteFile("METRICS.md", doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile("METRICS.md"); err != nil || !bytes.Equal(got, doc.Bytes()) {
		t.Errorf("METRICS.md is not what is exported (%v); run go test ./appliance -run Documented -update", err)
	}
}

// table writes the families of a part.
func table(doc *bytes.Buffer, families map[string]*dto.MetricFamily) {
	doc.WriteString("| metric | type | labels | what it is |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		var labels []string
		for label, values := range labelValues(f) {
			labels = append(labels, fmt.Sprintf("`%s`: %s", label, strings.Join(slices.Sorted(maps.Keys(values)), ", ")))
		}
		slices.Sort(labels)
		fmt.Fprintf(doc, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), strings.Join(labels, "; "), f.GetHelp())
	}
}

func labelValues(f *dto.MetricFamily) map[string]map[string]bool {
	labels := map[string]map[string]bool{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if labels[l.GetName()] == nil {
				labels[l.GetName()] = map[string]bool{}
			}
			labels[l.GetName()][l.GetValue()] = true
		}
	}
	return labels
}

// TestRelayLabelsAreFixed wants every value of every label from the start, and
// the same ones after clients of many names have used the relay.
func TestRelayLabelsAreFixed(t *testing.T) {
	server := turntest.Start(t)
	st := server.Stats()
	codes := map[string]bool{}
	for code := range st.Refused {
		codes[strconv.Itoa(code)] = true
	}
	wanted := map[string]map[string]map[string]bool{
		"signalbox_turn_refused_total": {"code": codes},
		"signalbox_turn_dropped_total": {"reason": namesOf(st.Dropped)},
		"signalbox_turn_closed_total":  {"reason": namesOf(st.Closed)},
	}
	for _, name := range []string{"signalbox_turn_relayed_packets_total", "signalbox_turn_relayed_bytes_total"} {
		wanted[name] = map[string]map[string]bool{
			"direction": {"to_peers": true, "to_clients": true}, "transport": {"udp": true, "tcp": true, "tls": true},
		}
	}
	before := scrape(t, server)
	for name, f := range before {
		want := wanted[name]
		if want == nil {
			want = map[string]map[string]bool{}
		}
		if got := labelValues(f); !reflect.DeepEqual(got, want) {
			t.Errorf("%s has labels %v, want %v", name, got, want)
		}
		for _, m := range f.GetMetric() {
			if v := m.GetCounter().GetValue() + m.GetGauge().GetValue(); v != 0 {
				t.Errorf("%s of a new relay is %v, want 0", name, v)
			}
		}
	}
	use(t, server)
	after := scrape(t, server)
	for name, f := range after {
		if got, want := len(f.GetMetric()), len(before[name].GetMetric()); got != want {
			t.Errorf("%s has %d series after use, want the %d of before", name, got, want)
		}
		if text := f.String(); strings.Contains(text, "cam-") || strings.Contains(text, "127.0.0.1") {
			t.Errorf("%s names a user or an address: %s", name, text)
		}
	}
	for name, want := range map[string]float64{
		"allocations": 4, "users": 4, "conns": 2, "draining": 1, "allocations_total": 4, "refused_draining_total": 1,
	} {
		m := after["signalbox_turn_"+name].GetMetric()[0]
		if got := m.GetCounter().GetValue() + m.GetGauge().GetValue(); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func namesOf(m map[string]uint64) map[string]bool {
	set := map[string]bool{}
	for k := range m {
		set[k] = true
	}
	return set
}

// use makes some of everything: allocations of several users over UDP and TCP,
// traffic between them, drops and refusals.
func use(t *testing.T, server *turn.Server) {
	t.Helper()
	var last *turntest.Client
	for i, network := range []string{"udp", "tcp", "udp", "tcp"} {
		c := turntest.Dial(t, network, turntest.Addr(server))
		c.Credential = server.Credential(fmt.Sprintf("cam-%d", i), time.Hour)
		relayed := c.Allocate()
		if last != nil {
			if code := last.Permit(relayed); code != 0 {
				t.Fatalf("permission: %d", code)
			}
			last.SendTo(relayed, []byte("hello"))
		}
		c.SendTo(netip.MustParseAddrPort("169.254.169.254:80"), []byte("dropped"))
		last = c
	}
	server.Drain(true)
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	c.Challenge()
	if code := turntest.Code(c.Request(3, turntest.UDPTransport)); code != 508 {
		t.Errorf("allocate while draining: %d", code)
	}
	turntest.Until(t, "drops counted", func() bool { return server.Stats().Dropped["no_permission"] >= 4 })
}
