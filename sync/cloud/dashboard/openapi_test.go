package dashboard

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"signalbox/internal/jsonapi"
	"signalbox/internal/jsonapi/openapi"
)

var update = flag.Bool("update", false, "write openapi.json instead of comparing it")

var about = openapi.About{
	Summary: "All sites of a fleet: state, history, problems, people",
	Description: "Times are RFC 3339 in UTC, durations are whole seconds in fields that end in _s, sizes are bytes. " +
		"Bodies are JSON objects of at most 64 KiB; a field the node does not know is an error that names it. " +
		"Answers may get new fields; ignore those you do not know. Every node of a cloud answers the same. " +
		"The same routes are served on the node's control socket, where no key is needed.",
	Server:      "the cloud node that serves this document",
	Cookie:      plainCookie,
	CookieAbout: "Set by signing in; on HTTPS the name begins with __Host-. Changes need Content-Type application/json and a page of the cloud itself.",
	Comments: map[string]string{
		"signalbox/sync/cloud/dashboard": ".", "signalbox/sync/cloud/people": "../people", "signalbox/sync/wire": "../../wire",
		"signalbox/internal/jsonapi": "../../../internal/jsonapi",
	},
	Health: reflect.TypeFor[NodeHealth](),
}

// TestOpenAPIIsCurrent generates the document that the node serves.
func TestOpenAPIIsCurrent(t *testing.T) {
	got, err := openapi.Document(about, jsonapi.DescribeAll(routes))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(got, openAPI) {
		t.Error("openapi.json is not what the types and routes say; run go generate ./sync/cloud/dashboard")
	}
}

func TestOperationIDsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, rt := range routes {
		id := openapi.OperationID(rt.Describe())
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %v have the same operation id %s", other, rt, id)
		}
		seen[id] = fmt.Sprint(rt)
	}
}

// Routes tells tests of the package's outside who may use what.
func Routes() (all []struct{ Method, Path, Role string }) {
	for _, rt := range routes {
		role := string(rt.Access.role())
		if rt.Access == anyone || rt.Access == open {
			role = "anyone"
		}
		all = append(all, struct{ Method, Path, Role string }{rt.Method, rt.Path, role})
	}
	return all
}

// Hurry shortens what a test would otherwise wait for: by how much two nodes may
// know of a change apart, when a delivery is tried again, and how long a box is
// away before that is an event.
func (d *Dashboard) Hurry() {
	d.board.slack, d.hooks.retry, d.hooks.goings.after = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
}
