// Package openapi writes the OpenAPI 3.1 document of a table of routes. It is
// for tests and go generate: the binaries carry the finished document, not the
// generator.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"signalbox/internal/jsonapi"
)

// About is what the document says beside the routes.
type About struct {
	Summary, Description string
	Server               string // what serves the document
	Cookie, CookieAbout  string
	// Comments are import paths and folders, relative to the caller, of packages
	// whose comments on types become descriptions.
	Comments map[string]string
	Health   reflect.Type // what /healthz and /readyz give
}

// Document writes the document of a table.
func Document(about About, table []jsonapi.Description) ([]byte, error) {
	d := &document{about: about, schemas: object{}, refusals: object{}}
	d.requests.Anonymous, d.answers.Anonymous, d.answers.AllowAdditionalProperties = true, true, true
	for _, r := range []*jsonschema.Reflector{&d.requests, &d.answers} {
		r.Mapper = withNulls
		for path, folder := range about.Comments {
			if err := r.AddGoComments(path, folder, jsonschema.WithFullComment()); err != nil {
				return nil, err
			}
		}
	}
	whole := d.build(table)
	if d.err != nil {
		return nil, d.err
	}
	text, err := json.MarshalIndent(whole, "", " ")
	return append(text, '\n'), err
}

// withNulls says of a list of pointers to numbers that it may hold nulls; of
// other types it says nothing of its own.
func withNulls(t reflect.Type) *jsonschema.Schema {
	if t.Kind() != reflect.Slice || t.Elem() != reflect.TypeFor[*int64]() {
		return nil
	}
	return &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer"}, {Type: "null"}}}}
}

type object = map[string]any

// document builds OpenAPI 3.1 out of a table.
type document struct {
	about    About
	requests jsonschema.Reflector // strict: an unknown field is an error
	answers  jsonschema.Reflector // open: later versions may add fields
	schemas  object
	refusals object // responses that operations share
	err      error  // the first
}

func (d *document) build(table []jsonapi.Description) object {
	paths := object{}
	for _, rt := range table {
		operations, ok := paths[rt.Path].(object)
		if !ok {
			operations = object{}
			paths[rt.Path] = operations
		}
		operations[strings.ToLower(rt.Method)] = d.operation(rt)
	}
	d.schema(&d.answers, reflect.TypeFor[jsonapi.Failure]())
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Signalbox", "version": "1",
			"summary":     d.about.Summary,
			"description": d.about.Description,
			"license":     object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []any{object{"url": "/", "description": d.about.Server}},
		"paths":   paths,
		"components": object{
			"schemas":   d.schemas,
			"responses": d.refusals,
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
				"cookie": object{"type": "apiKey", "in": "cookie", "name": d.about.Cookie, "description": d.about.CookieAbout},
			},
		},
	}
}

func (d *document) operation(rt jsonapi.Description) object {
	op := object{
		"operationId": OperationID(rt), "tags": []string{rt.Tag}, "summary": rt.Summary,
		"responses": d.responses(rt),
	}
	if rt.Detail != "" {
		op["description"] = rt.Detail
	}
	bearer, cookie := object{"bearer": []any{}}, object{"cookie": []any{}}
	switch rt.Credentials {
	case jsonapi.Ignored:
		op["security"] = []any{}
	case jsonapi.Welcome:
		op["security"] = []any{object{}, bearer, cookie}
	default:
		op["security"] = []any{bearer, cookie}
	}
	if rt.In != nil {
		op["requestBody"] = object{"required": true, "content": object{
			"application/json": object{"schema": d.schema(&d.requests, rt.In)},
		}}
	}
	if parameters := parametersOf(rt); len(parameters) > 0 {
		op["parameters"] = parameters
	}
	return op
}

func parametersOf(rt jsonapi.Description) (all []any) {
	for _, name := range rt.Wildcards {
		all = append(all, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range rt.Query {
		all = append(all, object{"name": p.Name, "in": "query", "description": p.About, "schema": object{"type": p.Kind}})
	}
	if rt.IfMatch {
		all = append(all, object{
			"name": "If-Match", "in": "header", "schema": object{"type": "string"},
			"description": "The version this change is meant for, in quotes; the answer is 412 when there is another one by now.",
		})
	}
	return all
}

func (d *document) responses(rt jsonapi.Description) object {
	responses := object{}
	for _, status := range rt.Failures {
		name := "Refused" + strconv.Itoa(status)
		responses[strconv.Itoa(status)] = object{"$ref": "#/components/responses/" + name}
		d.refusals[name] = object{"description": http.StatusText(status), "content": object{
			"application/json": object{"schema": object{"$ref": "#/components/schemas/Failure"}},
		}}
	}
	success := object{"description": http.StatusText(rt.Success)}
	if content := d.content(rt); len(content) > 0 {
		success["content"] = content
		if rt.Path == "/readyz" {
			responses["503"] = object{"description": "A part that cannot be done without is down", "content": content}
		}
	}
	responses[strconv.Itoa(rt.Success)] = success
	return responses
}

func (d *document) content(rt jsonapi.Description) object {
	content := object{}
	for _, media := range rt.Media {
		content[media] = object{"schema": object{"type": "string"}}
	}
	switch {
	case len(rt.Out) == 1:
		content["application/json"] = object{"schema": d.schema(&d.answers, rt.Out[0])}
	case len(rt.Out) > 1:
		var either []any
		for _, out := range rt.Out {
			either = append(either, d.schema(&d.answers, out))
		}
		content["application/json"] = object{"schema": object{"anyOf": either}}
	case rt.Path == "/v1/openapi.json":
		content["application/json"] = object{"schema": object{"type": "object"}}
	case rt.Tag == "operating" && content["application/json"] != nil:
		content["application/json"] = object{"schema": d.schema(&d.answers, d.about.Health)}
	}
	return content
}

// schema adds a type and all it is made of to the components.
func (d *document) schema(r *jsonschema.Reflector, of reflect.Type) object {
	for name, definition := range r.ReflectFromType(of).Definitions {
		text, err := json.Marshal(definition)
		d.fail(err)
		var schema object
		text = bytes.ReplaceAll(text, []byte(`"#/$defs/`), []byte(`"#/components/schemas/`))
		text = wrapped.ReplaceAll(text, []byte("$1 $2"))
		d.fail(json.Unmarshal(text, &schema))
		if known, ok := d.schemas[name]; ok && !reflect.DeepEqual(known, schema) {
			d.fail(fmt.Errorf("type %s is both a request and an answer; requests are strict, so it needs two names", name))
		}
		d.schemas[name] = schema
	}
	return object{"$ref": "#/components/schemas/" + of.Name()}
}

// wrapped finds where a comment goes on in the next line.
var wrapped = regexp.MustCompile(`([^\n])\\n([^\\])`)

func (d *document) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// OperationID is what client generators call the operation: getRoomsByName.
func OperationID(rt jsonapi.Description) string {
	id := []string{strings.ToLower(rt.Method)}
	for _, word := range word.FindAllString(strings.TrimPrefix(rt.Path, "/v1"), -1) {
		id = append(id, strings.ToUpper(word[:1])+word[1:])
	}
	return strings.Join(id, "")
}

var word = regexp.MustCompile(`\w+`)
