package wire_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"signalbox/sync/wire"
)

func joinRequest(token wire.JoinToken) *wire.JoinRequest {
	r := &wire.JoinRequest{
		Token: token.ID(), CSR: []byte("csr"), Box: "kfz3ab2cde", Name: "Hall 2", Version: "1.0",
		Time: time.UnixMilli(1795000000123), Nonce: wire.NewNonce(),
	}
	r.Seal(token.Key())
	return r
}

// TestJoinRequestSeal changes each field, as a proxy that ends TLS could.
func TestJoinRequestSeal(t *testing.T) {
	token := wire.NewJoinToken()
	whole := joinRequest(token)
	encoded, _ := json.Marshal(whole)
	read, err := wire.ParseJoinRequest(encoded)
	if err != nil || !read.Sealed(token.Key()) {
		t.Fatalf("what was sealed is not: %v", err)
	}
	if read.Sealed(wire.NewJoinToken().Key()) {
		t.Error("sealed with another token")
	}
	for name, change := range map[string]func(*wire.JoinRequest){
		"token":   func(r *wire.JoinRequest) { r.Token = wire.NewJoinToken().ID() },
		"csr":     func(r *wire.JoinRequest) { r.CSR = []byte("cs") },
		"box":     func(r *wire.JoinRequest) { r.Box = "other" },
		"name":    func(r *wire.JoinRequest) { r.Name, r.Version = r.Name+r.Version, "" },
		"version": func(r *wire.JoinRequest) { r.Version += "1" },
		"time":    func(r *wire.JoinRequest) { r.Time = r.Time.Add(time.Millisecond) },
		"nonce":   func(r *wire.JoinRequest) { r.Nonce = wire.NewNonce() },
	} {
		changed := *read
		if change(&changed); changed.Sealed(token.Key()) {
			t.Errorf("%s can be changed", name)
		}
	}
}

func TestJoinAnswerSeal(t *testing.T) {
	token := wire.NewJoinToken()
	request := joinRequest(token)
	answer := &wire.JoinAnswer{
		Box: "main.hall-2.kfz3ab2cde", Domain: "signalbox", Chain: [][]byte{{1}, {2}}, Roots: [][]byte{{3}}, Now: time.UnixMilli(1795000000123),
	}
	answer.Seal(token.Key(), request)
	encoded, _ := json.Marshal(answer)
	read, err := wire.ParseJoinAnswer(encoded)
	if err != nil || !read.Sealed(token.Key(), request) {
		t.Fatalf("what was sealed is not: %v", err)
	}
	if read.Sealed(token.Key(), joinRequest(token)) {
		t.Error("the answer to one request is taken for that to another")
	}
	for name, change := range map[string]func(*wire.JoinAnswer){
		"box":    func(a *wire.JoinAnswer) { a.Box = "main.hall-3.kfz3ab2cde" },
		"domain": func(a *wire.JoinAnswer) { a.Domain = "other" },
		"chain":  func(a *wire.JoinAnswer) { a.Chain = [][]byte{{1}} },
		"moved":  func(a *wire.JoinAnswer) { a.Chain, a.Roots = [][]byte{{1}}, [][]byte{{2}, {3}} },
		"roots":  func(a *wire.JoinAnswer) { a.Roots = append(a.Roots, []byte{4}) },
		"now":    func(a *wire.JoinAnswer) { a.Now = a.Now.Add(time.Hour) },
	} {
		changed := *read
		if change(&changed); changed.Sealed(token.Key(), request) {
			t.Errorf("%s can be changed", name)
		}
	}
}

func TestJoinRequestBounds(t *testing.T) {
	token := wire.NewJoinToken()
	for name, change := range map[string]func(*wire.JoinRequest){
		"id of a join token": func(r *wire.JoinRequest) { r.Token = "short" },
		"csr":                func(r *wire.JoinRequest) { r.CSR = make([]byte, 5<<10) },
		"box":                func(r *wire.JoinRequest) { r.Box = "Hall 2" },
		"name":               func(r *wire.JoinRequest) { r.Name = "two\nlines" },
		"version":            func(r *wire.JoinRequest) { r.Version = strings.Repeat("1", 201) },
		"nonce":              func(r *wire.JoinRequest) { r.Nonce = nil },
		"mac":                func(r *wire.JoinRequest) { r.MAC = r.MAC[:8] },
	} {
		r := joinRequest(token)
		change(r)
		encoded, _ := json.Marshal(r)
		if _, err := wire.ParseJoinRequest(encoded); err == nil || !strings.HasPrefix(err.Error(), name+": got") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := wire.ParseJoinRequest(make([]byte, wire.MaxEnrolBytes+1)); err == nil {
		t.Error("an endless document is taken")
	}
}

func TestParseFailure(t *testing.T) {
	if f := wire.ParseFailure([]byte(`{"error":"token_used_up","message":"the token is used up"}`)); f.Code != "token_used_up" {
		t.Errorf("got %+v", f)
	}
	for _, foreign := range []string{"<html>", `{"error":"x","message":"\u001b[2J"}`, `[]`, ""} {
		if f := wire.ParseFailure([]byte(foreign)); f != (wire.Failure{}) {
			t.Errorf("ParseFailure(%q) = %+v", foreign, f)
		}
	}
}

// FuzzEnrol reads every document of enrolment from the same bytes.
func FuzzEnrol(f *testing.F) {
	request, _ := json.Marshal(joinRequest(wire.NewJoinToken()))
	f.Add(request)
	f.Add([]byte(`{"box":"main.hall-2.kfz","domain":"signalbox","chain":["AQ=="],"roots":["AQ=="],"now":"2026-01-01T00:00:00Z","mac":"AA=="}`))
	f.Add([]byte(`{"csr":"AQ==","name":"n","version":"v"}`))
	f.Add([]byte(`{"error":"x","message":"y"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		again(t, data, wire.ParseJoinRequest)
		again(t, data, wire.ParseJoinAnswer)
		again(t, data, wire.ParseRenewRequest)
		again(t, data, wire.ParseRenewAnswer)
		if failure := wire.ParseFailure(data); len(failure.Code) > 200 || len(failure.Message) > 1<<10 {
			t.Errorf("a failure of %d and %d bytes", len(failure.Code), len(failure.Message))
		}
	})
}

// again checks that a document which is taken reads the same once written.
func again[T any](t *testing.T, data []byte, parse func([]byte) (*T, error)) {
	t.Helper()
	document, err := parse(data)
	if err != nil {
		return
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if len(encoded) > wire.MaxEnrolBytes {
		return // text that takes more escapes than it came with
	}
	second, err := parse(encoded)
	if err != nil || !reflect.DeepEqual(document, second) {
		t.Errorf("read again: %+v, %v, want %+v", second, err, document)
	}
}
