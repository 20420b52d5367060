package api_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"mime"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"signalbox/appliance/api"
)

// TestMain also fails when a run of all tests has left an operation of the
// document without a successful answer.
func TestMain(m *testing.M) {
	code := m.Run()
	all := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == ""
	if code == 0 && all {
		if missing := document().untested(); len(missing) > 0 {
			fmt.Println("no test had a successful answer from:", strings.Join(missing, ", "))
			code = 1
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

// contract is the OpenAPI document, ready to hold answers against.
type contract struct {
	paths, shared map[string]any // shared responses, by name

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	answered map[string]bool // operations with a successful answer
}

var document = sync.OnceValue(func() *contract {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.OpenAPI()))
	if err != nil {
		panic(err)
	}
	c := &contract{compiler: jsonschema.NewCompiler(), answered: map[string]bool{}}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource("openapi.json", doc); err != nil {
		panic(err)
	}
	c.paths = doc.(map[string]any)["paths"].(map[string]any)
	c.shared = doc.(map[string]any)["components"].(map[string]any)["responses"].(map[string]any)
	return c
})

// find gives the template that the path of a request fits; literal segments go
// before wildcards.
func (c *contract) find(path string) (template string, ok bool) {
	segments := strings.Split(path, "/")
	templates := slices.SortedFunc(maps.Keys(c.paths), func(x, y string) int {
		return strings.Count(x, "{") - strings.Count(y, "{")
	})
	for _, template := range templates {
		parts := strings.Split(template, "/")
		if slices.EqualFunc(parts, segments, func(part, segment string) bool {
			return part == segment || strings.HasPrefix(part, "{")
		}) {
			return template, true
		}
	}
	return "", false
}

func (c *contract) untested() (missing []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, operations := range c.paths {
		for method := range operations.(map[string]any) {
			if !c.answered[method+" "+path] {
				missing = append(missing, method+" "+path)
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// sawStream notes the stream of events, which no single answer shows.
func (c *contract) sawStream() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered["get /v1/events"] = true
}

func pointer(parts ...string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	location := ""
	for _, part := range parts {
		location += "/" + url.PathEscape(escape.Replace(part))
	}
	return "openapi.json#" + location
}

func (c *contract) validate(body []byte, location ...string) error {
	c.mu.Lock()
	schema, err := c.compiler.Compile(pointer(location...))
	c.mu.Unlock()
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// checkAgainstDocument fails the test when an answer is not what the document
// promises, or a request that succeeded is not what it asks for.
func checkAgainstDocument(t testing.TB, a ask, got answer) {
	t.Helper()
	u, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	method, c := strings.ToLower(a.method), document()
	if method == "head" {
		method = "get"
	}
	template, ok := c.find(u.EscapedPath())
	operation, served := map[string]any(nil), false
	if ok {
		operation, served = c.paths[template].(map[string]any)[method].(map[string]any)
	}
	media, _, _ := mime.ParseMediaType(got.header.Get("Content-Type"))
	if !served {
		if err := c.validate(got.body, "components", "schemas", "Failure"); err != nil {
			t.Errorf("%s %s: %d is no proper refusal: %v", a.method, a.url, got.status, err)
		}
		return
	}
	status := strconv.Itoa(got.status)
	response, documented := operation["responses"].(map[string]any)[status].(map[string]any)
	if !documented {
		t.Errorf("%s %s: status %s is not in the document: %s", a.method, template, status, got.body)
		return
	}
	at := []string{"paths", template, method, "responses", status}
	if ref, ok := response["$ref"].(string); ok {
		name := ref[strings.LastIndex(ref, "/")+1:]
		response, at = c.shared[name].(map[string]any), []string{"components", "responses", name}
	}
	content, _ := response["content"].(map[string]any)
	if _, ok := content[media]; !ok && len(got.body) > 0 {
		t.Errorf("%s %s: %s with %q is not in the document", a.method, template, status, media)
	}
	if media == "application/json" && len(got.body) > 0 {
		if err := c.validate(got.body, append(at, "content", media, "schema")...); err != nil {
			t.Errorf("%s %s: answer does not fit the document: %v\n%s", a.method, template, err, got.body)
		}
	}
	if got.status >= 300 {
		return
	}
	c.mu.Lock()
	c.answered[method+" "+template] = true
	c.mu.Unlock()
	if operation["requestBody"] != nil {
		if err := c.validate([]byte(a.body), "paths", template, method, "requestBody", "content", "application/json", "schema"); err != nil {
			t.Errorf("%s %s: the box took a body that does not fit the document: %v\n%s", a.method, template, err, a.body)
		}
	}
}
