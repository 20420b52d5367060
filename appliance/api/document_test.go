package api_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"signalbox/appliance/api"
	"signalbox/internal/jsonapi/openapi"
)

// TestMain also fails when a run of all tests has left an operation of the
// document without a successful answer.
func TestMain(m *testing.M) {
	code := m.Run()
	all := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == ""
	if code == 0 && all {
		if missing := document().Untested(); len(missing) > 0 {
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

var document = sync.OnceValue(func() *openapi.Contract { return openapi.NewContract(api.OpenAPI()) })

// checkAgainstDocument fails the test when an answer is not what the document
// promises, or a request that succeeded is not what it asks for.
func checkAgainstDocument(t testing.TB, a ask, got answer) {
	t.Helper()
	err := document().Check(openapi.Exchanged{
		Method: a.method, URL: a.url, Request: []byte(a.body), Status: got.status, Header: got.header, Answer: got.body,
	})
	if err != nil {
		t.Error(err)
	}
}
