// Package jsonapi is what the JSON APIs of a box and of the cloud are made of: a
// table of routes with typed bodies, strict requests, errors that say what to
// do, counted and logged answers. An OpenAPI document is made from the same
// table, see package openapi below it.
package jsonapi

import (
	"fmt"
	"net/http"
	"time"
)

// Failure is the body of every answer from 400 on.
type Failure struct {
	Error Error `json:"error"`
}

// Error says what is wrong, with which value, and what to do about it.
type Error struct {
	// Code is for programs and does not change.
	Code string `json:"code"`
	// Message is a sentence for people and may change.
	Message string `json:"message"`
	// Field is the request field that is wrong.
	Field string `json:"field,omitempty"`
	// Temporary means that the same request may succeed later.
	Temporary    bool  `json:"temporary"`
	RetryAfterMS int64 `json:"retry_after_ms,omitempty"`
	// Version is the current one, on version_conflict.
	Version uint64 `json:"version,omitempty"`
	// ID finds the fault in the log, on internal.
	ID string `json:"id,omitempty"`
}

// Fault is a refusal with its HTTP status: what handlers return as errors.
type Fault struct {
	Status int
	Body   Error
	allow  []string // methods, on 405
}

func (f *Fault) Error() string { return f.Body.Message }

// Refuse makes a fault that the same request will meet again.
func Refuse(status int, code, format string, args ...any) *Fault {
	return &Fault{Status: status, Body: Error{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// Wrong is a refusal because of one field of the request.
func Wrong(field, format string, args ...any) *Fault {
	f := Refuse(http.StatusBadRequest, "bad_request", format, args...)
	f.Body.Field = field
	return f
}

// Later is a refusal that ends by itself.
func Later(status int, code string, after time.Duration, format string, args ...any) *Fault {
	f := Refuse(status, code, format, args...)
	f.Body.Temporary = true
	f.Body.RetryAfterMS = after.Milliseconds()
	return f
}
