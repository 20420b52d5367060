package grammar

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// set gives a field its value from text. With more, a list grows by it.
func set(field reflect.Value, text string, more bool) error {
	if field.Kind() == reflect.Pointer {
		if field.IsNil() || !more {
			field.Set(reflect.New(field.Type().Elem()))
		}
		return set(field.Elem(), text, more)
	}
	switch v := field.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		return v.UnmarshalText([]byte(text)) // says itself what it got
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("got %q, want a duration such as \"30s\" or \"5m\"", text)
		}
		*v = d
		return nil
	case *[]string:
		if !more {
			*v = nil
		}
		if text != "" {
			*v = append(*v, strings.Split(text, ",")...)
		}
		return nil
	}
	return setPlain(field, text)
}

func setPlain(field reflect.Value, text string) error {
	var err error
	want := ""
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		var b bool
		b, err = parseBool(text)
		field.SetBool(b)
		want = "true or false"
	case reflect.Int, reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(text, 10, field.Type().Bits())
		field.SetInt(n)
		want = "a whole number"
	case reflect.Uint64:
		var n uint64
		n, err = strconv.ParseUint(text, 10, 64)
		field.SetUint(n)
		want = "a whole number from 0"
	case reflect.Float64:
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		field.SetFloat(f)
		want = "a number"
	default:
		panic(fmt.Sprintf("no values of type %v on the command line", field.Type()))
	}
	if errors.Is(err, strconv.ErrRange) {
		want += " that is not as large"
	}
	if err != nil {
		return fmt.Errorf("got %q, want %s", text, want)
	}
	return nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "yes":
		return true, nil
	case "no":
		return false, nil
	}
	return strconv.ParseBool(text)
}
