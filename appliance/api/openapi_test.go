package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
)

var update = flag.Bool("update", false, "write openapi.json instead of comparing it")

// TestOpenAPIIsCurrent generates the document that the box serves.
func TestOpenAPIIsCurrent(t *testing.T) {
	got, err := json.MarshalIndent(newDocument(t).build(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
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
		if doc.Paths[rt.path][strings.ToLower(rt.method)].Summary != rt.summary {
			t.Errorf("%v is not in the document", rt)
		}
	}
}

type object = map[string]any

// document builds OpenAPI 3.1 out of the route table.
type document struct {
	t        *testing.T
	requests jsonschema.Reflector // strict: an unknown field is an error
	answers  jsonschema.Reflector // open: later versions may add fields
	schemas  object
	refusals object // responses that operations share
}

func newDocument(t *testing.T) *document {
	d := &document{t: t, schemas: object{}, refusals: object{}}
	d.requests.Anonymous, d.answers.Anonymous, d.answers.AllowAdditionalProperties = true, true, true
	for _, r := range []*jsonschema.Reflector{&d.requests, &d.answers} {
		if err := r.AddGoComments("signalbox/appliance/api", ".", jsonschema.WithFullComment()); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *document) build() object {
	paths := object{}
	for _, rt := range routes {
		operations, ok := paths[rt.path].(object)
		if !ok {
			operations = object{}
			paths[rt.path] = operations
		}
		operations[strings.ToLower(rt.method)] = d.operation(rt)
	}
	d.schema(&d.answers, reflect.TypeFor[Failure]())
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Signalbox", "version": "1",
			"summary":     "State, rooms, invites and tokens of one box",
			"description": about,
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []any{object{"url": "/", "description": "the box that serves this document"}},
		"paths":   paths,
		"components": object{
			"schemas":   d.schemas,
			"responses": d.refusals,
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
				"cookie": object{
					"type": "apiKey", "in": "cookie", "name": "signalbox-BOXID",
					"description": "Set by /v1/setup; on HTTPS the name begins with __Host-. Changes need Content-Type application/json and a page of the box itself.",
				},
			},
		},
	}
}

const about = "Times are RFC 3339 in UTC, durations are whole seconds in fields that end in _s, sizes are bytes. " +
	"Bodies are JSON objects of at most 64 KiB; a field the box does not know is an error that names it. " +
	"Answers may get new fields; ignore those you do not know. " +
	"A / in the name of a room is written %2F in paths. " +
	"The same routes are served on the control socket in the box's data folder, where no token is needed."

func (d *document) operation(rt route) object {
	op := object{
		"operationId": operationID(rt), "tags": []string{rt.tag()}, "summary": rt.summary,
		"responses": d.responses(rt),
	}
	if detail := strings.TrimSpace(rt.detail + " " + rt.access.words()); detail != "" {
		op["description"] = detail
	}
	bearer, cookie := object{"bearer": []any{}}, object{"cookie": []any{}}
	switch rt.access {
	case open:
		op["security"] = []any{}
	case anyone:
		op["security"] = []any{object{}, bearer, cookie}
	default:
		op["security"] = []any{bearer, cookie}
	}
	if rt.body.in != nil {
		op["requestBody"] = object{"required": true, "content": object{
			"application/json": object{"schema": d.schema(&d.requests, rt.body.in)},
		}}
	}
	if parameters := parametersOf(rt); len(parameters) > 0 {
		op["parameters"] = parameters
	}
	return op
}

func parametersOf(rt route) (all []any) {
	for _, name := range rt.wildcards() {
		all = append(all, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range rt.query {
		all = append(all, object{"name": p.name, "in": "query", "description": p.about, "schema": object{"type": p.kind}})
	}
	if rt.ifMatch {
		all = append(all, object{
			"name": "If-Match", "in": "header", "schema": object{"type": "string"},
			"description": "The version this change is meant for, in quotes; the answer is 412 when there is another one by now.",
		})
	}
	return all
}

func (d *document) responses(rt route) object {
	responses := object{}
	for _, status := range rt.failures() {
		name := "Refused" + strconv.Itoa(status)
		responses[strconv.Itoa(status)] = object{"$ref": "#/components/responses/" + name}
		d.refusals[name] = object{"description": http.StatusText(status), "content": object{
			"application/json": object{"schema": object{"$ref": "#/components/schemas/Failure"}},
		}}
	}
	success := object{"description": http.StatusText(rt.success())}
	if content := d.content(rt); len(content) > 0 {
		success["content"] = content
		if rt.path == "/readyz" {
			responses["503"] = object{"description": "A part the box cannot live without is down", "content": content}
		}
	}
	responses[strconv.Itoa(rt.success())] = success
	return responses
}

func (d *document) content(rt route) object {
	content := object{}
	for _, media := range rt.body.media {
		content[media] = object{"schema": object{"type": "string"}}
	}
	switch {
	case len(rt.body.out) == 1:
		content["application/json"] = object{"schema": d.schema(&d.answers, rt.body.out[0])}
	case len(rt.body.out) > 1:
		var any []any
		for _, out := range rt.body.out {
			any = append(any, d.schema(&d.answers, out))
		}
		content["application/json"] = object{"schema": object{"anyOf": any}}
	case rt.path == "/v1/openapi.json":
		content["application/json"] = object{"schema": object{"type": "object"}}
	case rt.tag() == "operating" && content["application/json"] != nil:
		content["application/json"] = object{"schema": d.schema(&d.answers, reflect.TypeFor[Health]())}
	}
	return content
}

// schema adds a type and all it is made of to the components.
func (d *document) schema(r *jsonschema.Reflector, of reflect.Type) object {
	for name, definition := range r.ReflectFromType(of).Definitions {
		text, err := json.Marshal(definition)
		if err != nil {
			d.t.Fatal(err)
		}
		var schema object
		text = bytes.ReplaceAll(text, []byte(`"#/$defs/`), []byte(`"#/components/schemas/`))
		text = regexp.MustCompile(`([^\n])\\n([^\\])`).ReplaceAll(text, []byte("$1 $2")) // comments are wrapped
		if err := json.Unmarshal(text, &schema); err != nil {
			d.t.Fatal(err)
		}
		if known, ok := d.schemas[name]; ok && !reflect.DeepEqual(known, schema) {
			d.t.Fatalf("type %s is both a request and an answer; requests are strict, so it needs two names", name)
		}
		d.schemas[name] = schema
	}
	return object{"$ref": "#/components/schemas/" + of.Name()}
}

func (a access) words() string {
	return map[access]string{
		manager: "Needs the right admin, or manage in a token that names the room.",
		admin:   "Needs the right admin.",
	}[a]
}

// operationID is what client generators call the operation: getRoomsByName.
func operationID(rt route) string {
	words := regexp.MustCompile(`\w+`).FindAllString(strings.TrimPrefix(rt.path, "/v1"), -1)
	id := strings.ToLower(rt.method)
	for _, word := range words {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

func TestOperationIDsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, rt := range routes {
		id := operationID(rt)
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %v have the same operation id %s", other, rt, id)
		}
		seen[id] = fmt.Sprint(rt)
	}
	if got := len(slices.Collect(maps.Keys(seen))); got != len(routes) {
		t.Errorf("%d operation ids, want %d", got, len(routes))
	}
}
