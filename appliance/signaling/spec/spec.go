// Package spec derives the published form of the protocol from the frame types
// of package signaling: JSON Schema (2020-12) and AsyncAPI 3. It is used by
// tests and to write schema.json and asyncapi.json; the box does not link it.
package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"signalbox/appliance/signaling"
)

// frames lists every frame type by direction, in the order of PROTOCOL.md.
var (
	fromClient = []any{
		signaling.Hello{},
		signaling.Join{},
		signaling.Leave{},
		signaling.SetPresence{},
		signaling.Set{},
		signaling.Send{},
		signaling.Ping{},
		signaling.Pong{},
		signaling.Ack{},
		signaling.Refresh{},
		signaling.NetworkChanged{},
	}
	fromBox = []any{
		signaling.Welcome{},
		signaling.Joined{},
		signaling.Room{},
		signaling.Presence{},
		signaling.State{},
		signaling.Relayed{},
		signaling.Restart{},
		signaling.Sent{},
		signaling.OK{},
		signaling.Error{},
		signaling.Ping{},
		signaling.Pong{},
		signaling.Ack{},
		signaling.Expiring{},
		signaling.Refreshed{},
		signaling.ICEUpdate{},
		signaling.Closing{},
	}
)

const schemaID = "https://signalbox.local/v1/schema.json"

func name(frame any) string { return reflect.TypeOf(frame).Name() }

// definitions reflects the frame types into JSON Schema definitions. strict
// refuses fields that the types do not have; published schemas allow them,
// since the protocol ignores unknown fields.
func definitions(strict bool) jsonschema.Definitions {
	defs := jsonschema.Definitions{}
	for _, frame := range append(append([]any{}, fromClient...), fromBox...) {
		r := jsonschema.Reflector{AllowAdditionalProperties: !strict, Anonymous: true}
		maps.Copy(defs, r.Reflect(frame).Definitions)
	}
	return defs
}

// union is a schema that accepts any of the frames.
func union(frames []any) *jsonschema.Schema {
	s := &jsonschema.Schema{}
	for _, frame := range frames {
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Ref: "#/$defs/" + name(frame)})
	}
	return s
}

// Schema is the JSON Schema of all frames: $defs/ClientFrame for those to the
// box, $defs/BoxFrame for those from it.
func Schema(strict bool) ([]byte, error) {
	defs := definitions(strict)
	defs["ClientFrame"], defs["BoxFrame"] = union(fromClient), union(fromBox)
	return indent(&jsonschema.Schema{
		Version: jsonschema.Version, ID: schemaID, Title: signaling.Subprotocol,
		Description: "Frames of the native signaling protocol; see PROTOCOL.md.", Definitions: defs,
		AnyOf: []*jsonschema.Schema{{Ref: "#/$defs/ClientFrame"}, {Ref: "#/$defs/BoxFrame"}},
	})
}

// AsyncAPI is the AsyncAPI 3 document of the protocol.
func AsyncAPI() ([]byte, error) {
	defs, err := json.Marshal(definitions(false))
	if err != nil {
		return nil, err
	}
	// AsyncAPI keeps schemas under components, not $defs.
	defs = bytes.ReplaceAll(defs, []byte(`#/$defs/`), []byte(`#/components/schemas/`))
	messages, channel := map[string]any{}, map[string]any{}
	refs := func(frames []any) (list []any) {
		for _, frame := range frames {
			n := name(frame)
			messages[n] = map[string]any{"name": n, "contentType": "application/json", "payload": ref("#/components/schemas/" + n)}
			channel[n] = ref("#/components/messages/" + n)
			list = append(list, ref("#/channels/signal/messages/"+n))
		}
		return list
	}
	client, box := refs(fromClient), refs(fromBox)
	return indent(map[string]any{
		"asyncapi": "3.0.0",
		"info": map[string]any{
			"title": "Signalbox native signaling", "version": "1",
			"description": "WebSocket subprotocol " + signaling.Subprotocol + ". PROTOCOL.md says what is promised and in which order frames come.",
		},
		"servers": map[string]any{
			"box": map[string]any{"host": "signalbox.local:8443", "protocol": "wss"},
		},
		"channels": map[string]any{
			"signal": map[string]any{"address": "/v1/signal", "messages": channel},
		},
		"operations": map[string]any{
			"toBox":   map[string]any{"action": "send", "channel": ref("#/channels/signal"), "messages": client},
			"fromBox": map[string]any{"action": "receive", "channel": ref("#/channels/signal"), "messages": box},
		},
		"components": map[string]any{"schemas": json.RawMessage(defs), "messages": messages},
	})
}

func ref(to string) map[string]any { return map[string]any{"$ref": to} }

func indent(doc any) ([]byte, error) {
	b, err := json.MarshalIndent(doc, "", " ")
	return append(b, '\n'), err
}

// Validator holds frames against the strict schema.
type Validator struct{ client, box *validator.Schema }

// NewValidator compiles the schema.
func NewValidator() (*Validator, error) {
	doc, err := Schema(true)
	if err != nil {
		return nil, err
	}
	parsed, err := validator.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return nil, err
	}
	c := validator.NewCompiler()
	if err := c.AddResource(schemaID, parsed); err != nil {
		return nil, err
	}
	v := &Validator{}
	if v.client, err = c.Compile(schemaID + "#/$defs/ClientFrame"); err != nil {
		return nil, err
	}
	v.box, err = c.Compile(schemaID + "#/$defs/BoxFrame")
	return v, err
}

// Check validates one frame; toBox is true for frames a client sends. It may
// be called concurrently.
func (v *Validator) Check(toBox bool, frame []byte) error {
	parsed, err := validator.UnmarshalJSON(bytes.NewReader(frame))
	if err != nil {
		return err
	}
	schema := v.box
	if toBox {
		schema = v.client
	}
	if err := schema.Validate(parsed); err != nil {
		return fmt.Errorf("frame %s: %s", frame[:min(len(frame), 300)], strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return nil
}
