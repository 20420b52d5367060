package config

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// wants says what the types of others accept, where their errors do not.
var wants = map[reflect.Type]string{
	reflect.TypeFor[slog.Level]():     "debug, info, warn or error",
	reflect.TypeFor[netip.Addr]():     `an IP address such as "192.168.1.20"`,
	reflect.TypeFor[netip.AddrPort](): `an address and port such as "192.168.1.20:3478"`,
	reflect.TypeFor[netip.Prefix]():   `a network such as "192.168.1.0/24"`,
}

var durationType = reflect.TypeFor[time.Duration]()

// scalar turns v, in the form TOML decodes it to, into a value of f's type, or
// of its element type for a list. The error says only what would be accepted.
func scalar(v any, t reflect.Type, bytes bool) (reflect.Value, error) {
	out := reflect.New(t)
	text, isText := v.(string)
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](out); ok {
		if n, isNumber := v.(int64); isNumber && out.Elem().CanInt() {
			text, isText = strconv.FormatInt(n, 10), true // a size in bytes
		}
		if !isText {
			text, isText = textOf(v)
		}
		if err := u.UnmarshalText([]byte(text)); err != nil || !isText {
			return out, errors.New(wantOf(t, err))
		}
		return out.Elem(), nil
	}
	switch dst := out.Elem(); {
	case t == durationType:
		d, err := ParseDuration(text)
		dst.SetInt(int64(d))
		return dst, err
	case dst.Kind() == reflect.String:
		dst.SetString(text)
		return dst, mismatch(isText, "text in quotes")
	case dst.Kind() == reflect.Bool:
		b, ok := v.(bool)
		dst.SetBool(b)
		return dst, mismatch(ok, "true or false")
	case dst.CanFloat():
		n, ok := v.(float64)
		if whole, isWhole := v.(int64); isWhole {
			n, ok = float64(whole), true
		}
		dst.SetFloat(n)
		return dst, mismatch(ok, "a number")
	case dst.CanInt(), dst.CanUint():
		return integer(v, dst, bytes)
	}
	panic(fmt.Sprintf("config: no way to read a %v", t)) // a section with such a field; a test reads every key
}

// integer sets dst, whole number of either kind, to v.
func integer(v any, dst reflect.Value, bytes bool) (reflect.Value, error) {
	want := "a whole number"
	n, ok := v.(int64)
	if bytes {
		want = wantSize
		if text, isText := v.(string); isText {
			var err error
			if n, err = parseSize(text); err != nil {
				return dst, err
			}
			ok = true
		}
		ok = ok && n >= 0
	}
	if ok && dst.CanUint() {
		if ok = n >= 0 && !dst.OverflowUint(uint64(n)); ok {
			dst.SetUint(uint64(n))
			return dst, nil
		}
		want = fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<dst.Type().Bits()-1)
	}
	if ok && dst.CanInt() {
		if ok = !dst.OverflowInt(n); ok {
			dst.SetInt(n)
		}
	}
	return dst, mismatch(ok, want)
}

func mismatch(ok bool, want string) error {
	if ok {
		return nil
	}
	return errors.New("want " + want)
}

// textOf gives dates the text that a type of ours may read them from.
func textOf(v any) (string, bool) {
	if d, ok := v.(time.Time); ok {
		return d.Format(time.RFC3339Nano), true
	}
	if d, ok := v.(fmt.Stringer); ok { // toml's local dates and times
		return d.String(), true
	}
	return "", false
}

// wantOf finds what would be accepted in the error of an UnmarshalText, which
// reads "got X, want Y" where it is ours.
func wantOf(t reflect.Type, err error) string {
	if want, ok := wants[t]; ok {
		return "want " + want
	}
	if err == nil {
		return "want text in quotes"
	}
	if _, want, ok := strings.Cut(err.Error(), "want "); ok {
		return "want " + want
	}
	return err.Error()
}

// fromText reads the text of an environment variable or a flag into the form
// TOML would decode it to. Lists are separated by commas, or are TOML if they
// begin with a bracket.
func fromText(text string, t reflect.Type) any {
	if isList(t) || isTableList(t) {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "[") || isTableList(t) {
			return parseOne(text)
		}
		list := []any{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, fromText(item, t.Elem()))
			}
		}
		return list
	}
	kind := reflect.Zero(t)
	if kind.Kind() == reflect.Bool {
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	}
	if kind.CanInt() || kind.CanUint() {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	}
	if kind.CanFloat() {
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n
		}
	}
	return text
}

// parseOne reads text as one TOML value; as itself if it is not one.
func parseOne(text string) any {
	var document map[string]any
	err := toml.Unmarshal([]byte("v = "+text), &document)
	if v, ok := document["v"]; ok && err == nil && len(document) == 1 {
		return v
	}
	return text
}

// shown is a value of a configuration as a problem quotes it.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		const most = 80
		if len(v) > most {
			v = strings.ToValidUTF8(v[:most], "") + "…"
		}
		return strconv.Quote(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	default:
		return fmt.Sprint(v)
	}
}
