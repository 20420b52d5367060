package openapi

import (
	"bytes"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Contract is a document, ready to hold requests and answers against in tests.
type Contract struct {
	paths, shared map[string]any // shared responses, by name

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	answered map[string]bool // operations with a successful answer
}

// Exchanged is a request and its answer.
type Exchanged struct {
	Method, URL string
	Request     []byte
	Status      int
	Header      http.Header
	Answer      []byte
}

// NewContract reads a document; it panics when it is none.
func NewContract(document []byte) *Contract {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		panic(err)
	}
	c := &Contract{compiler: jsonschema.NewCompiler(), answered: map[string]bool{}}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource("openapi.json", doc); err != nil {
		panic(err)
	}
	c.paths = doc.(map[string]any)["paths"].(map[string]any)
	c.shared = doc.(map[string]any)["components"].(map[string]any)["responses"].(map[string]any)
	return c
}

// find gives the template that the path of a request fits; literal segments go
// before wildcards.
func (c *Contract) find(path string) (template string, ok bool) {
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

// Protected lists the operations, "METHOD path", that need credentials.
func (c *Contract) Protected() (all []string) {
	for path, operations := range c.paths {
		for method, operation := range operations.(map[string]any) {
			security, _ := operation.(map[string]any)["security"].([]any)
			if len(security) == 2 { // a bearer or a cookie; with a third choice, none
				all = append(all, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(all)
	return all
}

// Validate holds a JSON text against a type of the document.
func (c *Contract) Validate(text []byte, schema string) error {
	return c.validate(text, "components", "schemas", schema)
}

// Untested lists the operations without a successful answer so far.
func (c *Contract) Untested() (missing []string) {
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

// Saw notes a successful answer that no Check has shown, such as a stream's.
func (c *Contract) Saw(operation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered[operation] = true
}

func pointer(parts ...string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	location := []string{"openapi.json#"}
	for _, part := range parts {
		location = append(location, url.PathEscape(escape.Replace(part)))
	}
	return strings.Join(location, "/")
}

func (c *Contract) validate(body []byte, location ...string) error {
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

// Check reports an answer that is not what the document promises, or a request
// that succeeded and is not what it asks for.
func (c *Contract) Check(x Exchanged) error {
	u, err := url.Parse(x.URL)
	if err != nil {
		return err
	}
	method := strings.ToLower(x.Method)
	if method == "head" {
		method = "get"
	}
	template, ok := c.find(u.EscapedPath())
	operation, served := map[string]any(nil), false
	if ok {
		operation, served = c.paths[template].(map[string]any)[method].(map[string]any)
	}
	if !served {
		if err := c.validate(x.Answer, "components", "schemas", "Failure"); err != nil {
			return fmt.Errorf("%s %s: %d is no proper refusal: %w", x.Method, x.URL, x.Status, err)
		}
		return nil
	}
	if err := c.checkAnswer(x, operation, template, method); err != nil {
		return fmt.Errorf("%s %s: status %d: %w\n%s", x.Method, template, x.Status, err, x.Answer)
	}
	if x.Status >= 300 {
		return nil
	}
	c.Saw(method + " " + template)
	if operation["requestBody"] != nil {
		if err := c.validate(x.Request, "paths", template, method, "requestBody", "content", "application/json", "schema"); err != nil {
			return fmt.Errorf("%s %s: a body was taken that does not fit the document: %w\n%s", x.Method, template, err, x.Request)
		}
	}
	return nil
}

func (c *Contract) checkAnswer(x Exchanged, operation map[string]any, template, method string) error {
	status := strconv.Itoa(x.Status)
	response, documented := operation["responses"].(map[string]any)[status].(map[string]any)
	if !documented {
		return fmt.Errorf("is not in the document")
	}
	at := []string{"paths", template, method, "responses", status}
	if ref, ok := response["$ref"].(string); ok {
		name := ref[strings.LastIndex(ref, "/")+1:]
		response, at = c.shared[name].(map[string]any), []string{"components", "responses", name}
	}
	media, _, _ := mime.ParseMediaType(x.Header.Get("Content-Type"))
	content, _ := response["content"].(map[string]any)
	if _, ok := content[media]; !ok && len(x.Answer) > 0 {
		return fmt.Errorf("type %q is not in the document", media)
	}
	if media == "application/json" && len(x.Answer) > 0 {
		if err := c.validate(x.Answer, append(at, "content", media, "schema")...); err != nil {
			return fmt.Errorf("does not fit the document: %w", err)
		}
	}
	return nil
}
