package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"signalbox/internal/jsonapi"
)

func TestDecodeRefusals(t *testing.T) {
	for name, test := range map[string]struct{ body, field, text string }{
		"empty":          {"", "", "empty"},
		"spaces":         {" \n", "", "empty"},
		"cut off":        {`{"name":"r"`, "", "unexpected end of JSON input at byte 11"},
		"trailing":       {`{"name":"r"} {}`, "", "not JSON"},
		"list":           {`[1]`, "", "a list; send a JSON object"},
		"null":           {`null`, "", "null; send a JSON object"},
		"number":         {`12`, "", "the number 12"},
		"not UTF-8":      {"{\"name\":\"\xff\"}", "", "UTF-8"},
		"case":           {`{"Name":"r"}`, "Name", `"Name"`},
		"empty field":    {`{"":1}`, "", `""`},
		"twice":          {`{"name":"r","name":"s"}`, "name", "twice"},
		"escaped twice":  {`{"name":"r","nam\u0065":"s"}`, "name", "twice"},
		"number as text": {`{"capacity":"4"}`, "capacity", "is text; want a whole number"},
		"fraction":       {`{"capacity":4.5}`, "capacity", "the number 4.5; want a whole number"},
		"huge":           {`{"capacity":1e400}`, "capacity", "whole number"},
		"overflow":       {`{"capacity":9223372036854775808}`, "capacity", "whole number"},
		"text as number": {`{"name":4}`, "name", "want text"},
		"truth":          {`{"pinned":"yes"}`, "pinned", "want true or false"},
		"null field":     {`{"name":null}`, "name", "is null; want text"},
		"object":         {`{"name":{"a":1}}`, "name", "an object"},
		"list of lists":  {`{"allow":[["a"]]}`, "allow", "want a list of texts"},
	} {
		t.Run(name, func(t *testing.T) {
			err := jsonapi.Decode([]byte(test.body), new(RoomCreate))
			f, ok := err.(*jsonapi.Fault) //nolint:errorlint // decode gives it bare
			if !ok || f.Status != 400 || f.Body.Field != test.field || !strings.Contains(f.Body.Message, test.text) {
				t.Errorf("Decode(%q) = %v (field %q), want a refusal of field %q with %q", test.body, err, f.Body.Field, test.field, test.text)
			}
		})
	}
}

func TestDecodeKeepsWhatIsMissing(t *testing.T) {
	patch := new(RoomPatch)
	if err := jsonapi.Decode([]byte(`{"capacity":0,"allow":[]}`), patch); err != nil {
		t.Fatal(err)
	}
	if patch.Description != nil || patch.Capacity == nil || *patch.Capacity != 0 || patch.Allow == nil || len(*patch.Allow) != 0 {
		t.Errorf("patch %+v, want capacity and allow, and nothing else", patch)
	}
	put := new(ValuePut)
	if err := jsonapi.Decode([]byte("{\"data\": {\"a\" :\t1} }"), put); err != nil || string(put.Data) != "{\"a\" :\t1}" {
		t.Errorf("data %s, %v; want it byte for byte", put.Data, err)
	}
}

// bodies are the requests of the table.
func bodies() (types []reflect.Type) {
	for _, rt := range routes {
		if rt.Body.In != nil {
			types = append(types, rt.Body.In)
		}
	}
	return types
}

// FuzzDecode feeds every request type. What it takes, json.Unmarshal takes in
// the same way, and its encoding reads back the same.
func FuzzDecode(f *testing.F) {
	for i, text := range []string{
		`{"name":"line-3","description":"Press","capacity":4,"pinned":true,"allow":["cam-*"]}`,
		`{"description":null}`,
		`{"data":{"cols":[1,2,{"a":null}]}}`,
		`{"kind":"device","room":"line-3","rights":["join"],"ttl_s":600,"uses":2,"note":"\u00e9"}`,
		`{"code":"ABCD-EFGH"}`, `{"code":"x","bearer":true}`,
		`{"subject":"cam-7","rooms":["*"],"ttl_s":-9223372036854775808}`,
		`{"path":"/x"}`, `{}`, `{"a":{"b":[[[[1]]]]}}`, `{"name":"\ud800"}`, `[{}]`, `{"name":"a"}x`,
	} {
		f.Add(uint8(i), []byte(text))
	}
	types := bodies()
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		in := types[int(which)%len(types)]
		got := reflect.New(in)
		if jsonapi.Decode(body, got.Interface()) != nil {
			return
		}
		plain := reflect.New(in)
		if err := json.Unmarshal(body, plain.Interface()); err != nil || !reflect.DeepEqual(got.Interface(), plain.Interface()) {
			t.Errorf("decode gives %+v, json.Unmarshal %+v, %v", got.Elem(), plain.Elem(), err)
		}
		text, err := json.Marshal(got.Interface())
		if err != nil {
			t.Fatal(err)
		}
		if put, ok := reflect.TypeAssert[*ValuePut](got); ok && put.Data == nil {
			return // encodes as null, which means something else
		}
		if err := jsonapi.Decode(text, reflect.New(in).Interface()); err != nil {
			t.Errorf("Decode(%s): %v, want what it took before", text, err)
		}
	})
}
