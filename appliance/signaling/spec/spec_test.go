package spec_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"signalbox/appliance/signaling/spec"
)

var update = flag.Bool("update", false, "write schema.json and asyncapi.json")

// The committed documents are what the types say.
func TestDocumentsAreCurrent(t *testing.T) {
	for path, generate := range map[string]func() ([]byte, error){
		"../schema.json":   func() ([]byte, error) { return spec.Schema(false) },
		"../asyncapi.json": spec.AsyncAPI,
	} {
		want, err := generate()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the frame types say (%v); run go test ./appliance/signaling/spec -update", path, err)
		}
	}
}

func TestValidator(t *testing.T) {
	v, err := spec.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		toBox bool
		frame string
		ok    bool
	}{
		{true, `{"type":"hello","token":"x"}`, true},
		{true, `{"type":"hello","token":5}`, false},
		{true, `{"type":"hallo"}`, false},
		{true, `{"type":"offer","seq":1,"room":"r","to":"m","data":{"sdp":"v=0"}}`, true},
		{true, `{"type":"offer","room":"r"}`, false},
		{false, `{"type":"sent","seq":1,"id":2,"status":"delivered"}`, true},
		{false, `{"type":"sent","id":2,"status":"delivered"}`, false},
		{false, `{"type":"sent","seq":1,"id":2,"status":"lost"}`, false},
		{false, `{"type":"ack","ack":1,"surprise":true}`, false},
	} {
		if err := v.Check(c.toBox, []byte(c.frame)); (err == nil) != c.ok {
			t.Errorf("Check(%v, %s) = %v, want ok %v", c.toBox, c.frame, err, c.ok)
		}
	}
}
