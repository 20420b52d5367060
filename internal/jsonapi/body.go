package jsonapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// MaxBodyBytes is the most that a request may carry.
	MaxBodyBytes = 64 << 10
	bodyTimeout  = 10 * time.Second
)

// ReadBody reads the request's JSON body into the struct that into points to.
func ReadBody(w http.ResponseWriter, r *http.Request, into any) error {
	// Cleared by the server before the next request on the connection.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return Refuse(http.StatusRequestEntityTooLarge, "too_large",
			"the body is larger than %d KiB; send less at once", MaxBodyBytes>>10)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return Later(http.StatusRequestTimeout, "timeout", time.Second,
			"the body did not arrive within %v; send it at once", bodyTimeout)
	}
	if err != nil {
		return Refuse(http.StatusBadRequest, "bad_request", "the body could not be read to its end; send the request again")
	}
	if len(body) > 0 {
		if err := CheckJSONType(r.Header.Get("Content-Type")); err != nil {
			return err
		}
	}
	return Decode(body, into)
}

// CheckJSONType refuses any other type than JSON in UTF-8.
func CheckJSONType(contentType string) error {
	media, params, err := mime.ParseMediaType(contentType)
	charset := strings.ToLower(params["charset"])
	if err != nil || media != "application/json" || charset != "" && charset != "utf-8" {
		return Refuse(http.StatusUnsupportedMediaType, "unsupported_media_type",
			"Content-Type is %q; send application/json", contentType)
	}
	return nil
}

// Decode reads one JSON object into the struct that into points to. It is
// stricter than json.Unmarshal: field names match exactly, and a field that is
// unknown, there twice or of a wrong type is refused by name. The error is a *Fault.
func Decode(body []byte, into any) error {
	if !utf8.Valid(body) {
		return Wrong("", "the body is not UTF-8 text; send JSON in UTF-8")
	}
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 {
		return Wrong("", "the body is empty; send a JSON object")
	} else if !json.Valid(trimmed) {
		return syntaxFault(trimmed)
	} else if trimmed[0] != '{' {
		return Wrong("", "the body is %s; send a JSON object", kindOf(trimmed))
	}
	fields := fieldsOf(reflect.ValueOf(into).Elem())
	seen := make(map[string]bool, len(fields))
	d := json.NewDecoder(bytes.NewReader(body))
	_, _ = d.Token() // the brace; the body is valid JSON from here on
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		field, known := fields[name]
		switch {
		case !known:
			return Wrong(name, "there is no field %q here; the fields are %s", name, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		case seen[name]:
			return Wrong(name, "field %q is there twice; send it once", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := json.Unmarshal(value, field.Addr().Interface()); err != nil || isNull(value, field) {
			return Wrong(name, "field %q is %s; want %s", name, kindOf(value), wanted(field.Type()))
		}
	}
	return nil
}

// isNull reports a null where the field takes none. json.Unmarshal would keep
// the field as it was, and the sender would believe it cleared.
func isNull(value json.RawMessage, field reflect.Value) bool {
	return field.Type() != rawType && string(value) == "null"
}

var rawType = reflect.TypeFor[json.RawMessage]()

// fieldsOf maps JSON names to the fields of a request struct, which is flat.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value, v.NumField())
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = v.Field(i)
	}
	return fields
}

func syntaxFault(body []byte) *Fault {
	err := json.Unmarshal(body, new(any))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return Wrong("", "the body is not JSON: %v at byte %d", syntax, syntax.Offset)
	}
	return Wrong("", "the body is not JSON: %v", err)
}

// kindOf describes a JSON value without repeating it: it may be long or secret.
func kindOf(value []byte) string {
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "text"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	default:
		return fmt.Sprintf("the number %.32s", value)
	}
}

// wanted says in words what a field of type t accepts.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return wanted(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Slice:
		return "a list of texts"
	default:
		return "text"
	}
}
