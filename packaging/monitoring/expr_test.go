package monitoring

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// selector is where an expression names a metric.
type selector struct {
	metric   string
	matchers []matcher
}

type matcher struct{ label, op, value string }

var (
	scanned = regexp.MustCompile("^(?:\\s+|\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|`[^`]*`|\\[[^\\]]*\\]|[0-9][0-9a-zA-Z.]*|[-+*/%^(),=!<>~@])")
	named   = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*`)
	listed  = regexp.MustCompile(`^\s*\([^()]*\)`)
	braced  = regexp.MustCompile(`^\s*\{([^{}]*)\}`)
	matched = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*(?:,|$)`)

	// lists are followed by names of labels.
	lists = words("by without on ignoring group_left group_right")
	// others are words that are no metric, though no parenthesis follows them.
	others = words("and or unless bool offset inf nan sum min max avg count group stddev stdvar topk bottomk quantile count_values")
)

func words(text string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(text) {
		set[w] = true
	}
	return set
}

// selectors finds the metrics of a PromQL expression that promtool has accepted.
// It knows as much of the language as telling them apart needs; a parser would
// bring Prometheus itself into go.mod.
func selectors(expr string) ([]selector, error) {
	var found []selector
	for rest := expr; rest != ""; {
		if skip := scanned.FindString(rest); skip != "" {
			rest = rest[len(skip):]
			continue
		}
		name := named.FindString(rest)
		if name == "" {
			return nil, fmt.Errorf("%q is not understood from %q on", expr, rest)
		}
		rest = rest[len(name):]
		switch {
		case lists[name]:
			rest = rest[len(listed.FindString(rest)):]
		case others[name] || strings.HasPrefix(strings.TrimSpace(rest), "("):
		default:
			s := selector{metric: name}
			if in := braced.FindStringSubmatch(rest); in != nil {
				rest = rest[len(in[0]):]
				for list := in[1]; strings.TrimSpace(list) != ""; {
					m := matched.FindStringSubmatch(list)
					if m == nil {
						return nil, fmt.Errorf("%q: %q is no list of labels", expr, in[1])
					}
					s.matchers, list = append(s.matchers, matcher{m[1], m[2], m[3]}), list[len(m[0]):]
				}
			}
			found = append(found, s)
		}
	}
	return found, nil
}

func TestSelectors(t *testing.T) {
	for expr, want := range map[string]string{
		`up`: "up",
		`8 * sum without (direction, transport) (rate(a_total[2m])) / (b > 0)`:                      "a_total b",
		`predict_linear(i:used:ratio{resource="disk"}[15m], 900) > 0.95`:                            "i:used:ratio{resource=disk}",
		`count(a{x=~"1|2", y!="z"} == 0) or vector(0)`:                                              "a{x=~1|2,y!=z}",
		`a / b and on (instance, job) c`:                                                            "a b c",
		`a * on (x) group_left (y) b offset 5m`:                                                     "a b",
		`histogram_quantile(0.99, sum by (route, le) (rate(h_bucket{instance=~"$instance"}[1m]))) `: "h_bucket{instance=~$instance}",
		`a - time() < 14 * 86400`:                                                                   "a",
		`topk(10, max by (le) (a))`:                                                                 "a",
	} {
		found, err := selectors(expr)
		if err != nil {
			t.Error(err)
		}
		var got []string
		for _, s := range found {
			text, in := s.metric, []string{}
			for _, m := range s.matchers {
				in = append(in, m.label+m.op+m.value)
			}
			if len(in) > 0 {
				text += "{" + strings.Join(in, ",") + "}"
			}
			got = append(got, text)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: got %s, want %s", expr, text, want)
		}
	}
	for _, expr := range []string{`{job="x"}`, `a{x=1}`} {
		if found, err := selectors(expr); err == nil {
			t.Errorf("%s: got %v, want an error", expr, found)
		}
	}
}
