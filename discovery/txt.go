package discovery

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Attributes are the key-value pairs of a DNS-SD TXT record. Keys are lower-case.
type Attributes map[string]string

const (
	// maxTXTString is the most one string of a TXT record holds (RFC 1035 §3.3.14).
	maxTXTString = 255
	// maxTXTBytes keeps an announcement in one Ethernet frame (RFC 6763 §6.2).
	maxTXTBytes = 1300
)

// ParseTXT reads the strings of a DNS-SD TXT record. Keys are lower-cased, the
// first of equal keys wins, and a string whose key is missing or not printable
// ASCII is skipped (RFC 6763 §6.4), as is one too long for a TXT record. A key
// without "=" maps to "". Values are bytes: they may be anything.
func ParseTXT(texts []string) Attributes {
	attrs := make(Attributes)
	for _, text := range texts {
		key, value, _ := strings.Cut(text, "=")
		if len(text) > maxTXTString || !validKey(key) {
			continue
		}
		key = strings.ToLower(key)
		if _, known := attrs[key]; !known {
			attrs[key] = value
		}
	}
	return attrs
}

// FormatTXT writes the strings of a DNS-SD TXT record, txtvers first and the
// others by key, each "key=value", or "key" alone for an empty value. An
// attribute that ParseTXT would skip is left out; Responder refuses an
// announcement with one. Without any attribute it is the single empty string
// that RFC 6763 §6.1 asks for.
func FormatTXT(attrs Attributes) []string {
	keys := slices.Sorted(maps.Keys(attrs))
	if i := slices.Index(keys, KeyTxtVersion); i > 0 {
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, KeyTxtVersion)
	}
	var texts []string
	for _, key := range keys {
		if attributeFault(key, attrs[key]) == "" {
			texts = append(texts, formatAttribute(key, attrs[key]))
		}
	}
	if texts == nil {
		return []string{""}
	}
	return texts
}

func formatAttribute(key, value string) string {
	if value == "" {
		return key
	}
	return key + "=" + value
}

// check reports the first attribute that cannot be announced.
func (attrs Attributes) check() error {
	total := 0
	for key, value := range attrs {
		if want := attributeFault(key, value); want != "" {
			return fmt.Errorf("TXT attribute %q=%q, want %s", key, value, want)
		}
		total += 1 + len(formatAttribute(key, value))
	}
	if total > maxTXTBytes {
		return fmt.Errorf("TXT attributes of %d bytes, want at most %d", total, maxTXTBytes)
	}
	return nil
}

// attributeFault says what is wrong with an attribute, "" when nothing is.
func attributeFault(key, value string) string {
	switch {
	case !validKey(key) || strings.ToLower(key) != key:
		return "a key of printable lower-case ASCII without ="
	case len(formatAttribute(key, value)) > maxTXTString:
		return "at most 255 bytes of key=value"
	}
	return ""
}

// validKey follows RFC 6763 §6.4: printable US-ASCII without "=", at least one.
func validKey(key string) bool {
	bad := func(r rune) bool { return r < 0x20 || r > 0x7e || r == '=' }
	return key != "" && !strings.ContainsFunc(key, bad)
}
