package dashboard

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// openAPI is the OpenAPI 3.1 document. It is generated from the route table and
// the Go types by a test, so that the node carries no schema generator, and the
// same test fails when it is out of date.
//
//go:generate go test -run TestOpenAPIIsCurrent -update .
//go:embed openapi.json
var openAPI []byte

var openAPITag = sync.OnceValue(func() string {
	return fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(openAPI))[:16])
})

// OpenAPI is the document as served at /v1/openapi.json.
func OpenAPI() []byte { return bytes.Clone(openAPI) }

func (d *Dashboard) getOpenAPI(c *call) error {
	header := c.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("ETag", openAPITag())
	http.ServeContent(c.w, c.r, "", time.Time{}, bytes.NewReader(openAPI))
	return nil
}
