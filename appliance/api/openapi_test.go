package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"signalbox/internal/jsonapi"
	"signalbox/internal/jsonapi/openapi"
)

var update = flag.Bool("update", false, "write openapi.json instead of comparing it")

var about = openapi.About{
	Summary: "State, rooms, invites and tokens of one box",
	Description: "Times are RFC 3339 in UTC, durations are whole seconds in fields that end in _s, sizes are bytes. " +
		"Bodies are JSON objects of at most 64 KiB; a field the box does not know is an error that names it. " +
		"Answers may get new fields; ignore those you do not know. " +
		"A / in the name of a room is written %2F in paths. " +
		"The same routes are served on the control socket in the box's data folder, where no token is needed.",
	Server:      "the box that serves this document",
	Cookie:      "signalbox-BOXID",
	CookieAbout: "Set by /v1/setup; on HTTPS the name begins with __Host-. Changes need Content-Type application/json and a page of the box itself.",
	Comments:    map[string]string{"signalbox/appliance/api": ".", "signalbox/internal/jsonapi": "../../internal/jsonapi"},
	Health:      reflect.TypeFor[Health](),
}

// TestOpenAPIIsCurrent generates the document that the box serves.
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
		t.Error("openapi.json is not what the types and routes say; run go generate ./appliance/api")
	}
}

func TestEveryRouteIsInTheDocument(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			Summary string `json:"summary"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	operations := 0
	for _, path := range doc.Paths {
		operations += len(path)
	}
	if operations != len(routes) {
		t.Errorf("the document has %d operations, want the %d of the table", operations, len(routes))
	}
	for _, rt := range routes {
		if doc.Paths[rt.Path][strings.ToLower(rt.Method)].Summary != rt.Summary {
			t.Errorf("%v is not in the document", rt)
		}
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
	if got := len(slices.Collect(maps.Keys(seen))); got != len(routes) {
		t.Errorf("%d operation ids, want %d", got, len(routes))
	}
}
