package discovery

import (
	"strings"

	"github.com/miekg/dns"
)

// Both libraries carry names and texts in the presentation form of zone files
// (RFC 1035 §5.1), in which a backslash starts an escape. The functions here
// are the border: what people see is plain on our side, escaped on theirs.

// escapeInstance puts an instance name into the exact form in which it comes
// back out of a packet, because zeroconf compares questions byte by byte: a
// name with a space or a bracket is otherwise listed but never resolved.
func escapeInstance(instance string) string {
	if len(instance) > maxLabel {
		return ""
	}
	wire := append([]byte{byte(len(instance))}, instance...)
	name, _, err := dns.UnpackDomainName(append(wire, 0), 0)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(name, ".")
}

// unescapeInstance is its inverse. It is false for what is not one label.
func unescapeInstance(escaped string) (string, bool) {
	var wire [2 + maxLabel]byte
	end, err := dns.PackDomainName(dns.Fqdn(escaped), wire[:], 0, nil, false)
	if err != nil || int(wire[0])+2 != end || end == 2 {
		return "", false
	}
	return string(wire[1 : end-1]), true
}

// escapeTXT protects the one character that means something in a text.
func escapeTXT(texts []string) []string {
	escaped := make([]string, len(texts))
	for i, text := range texts {
		escaped[i] = strings.ReplaceAll(text, `\`, `\\`)
	}
	return escaped
}

// unescapeTXT turns the texts of a received record into the bytes they stand for.
func unescapeTXT(texts []string) []string {
	plain := make([]string, len(texts))
	for i, text := range texts {
		plain[i] = unescapeText(text)
	}
	return plain
}

// unescapeText undoes \DDD and \X. A backslash that starts neither stays.
func unescapeText(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			plain = append(plain, text[i])
			continue
		}
		if code, ok := decimalByte(text[i+1:]); ok {
			plain = append(plain, code)
			i += 3
			continue
		}
		plain = append(plain, text[i+1])
		i++
	}
	return string(plain)
}

// decimalByte reads the three digits of an escaped byte.
func decimalByte(s string) (byte, bool) {
	if len(s) < 3 {
		return 0, false
	}
	code := 0
	for _, digit := range []byte(s[:3]) {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		code = code*10 + int(digit-'0')
	}
	return byte(code), code <= 255
}
