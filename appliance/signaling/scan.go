package signaling

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// maxDepth bounds nesting. Deeper JSON is refused rather than walked, so a
// hostile payload cannot exhaust the parser of the receiver either.
const maxDepth = 128

// maxInteger is the largest integer that every JSON reader holds exactly.
const maxInteger = 1<<53 - 1

var (
	errInvalidUTF8 = errors.New("text is not UTF-8")
	errTooDeep     = fmt.Errorf("nesting is deeper than %d", maxDepth)
)

// syntaxError is JSON that does not parse (RFC 8259), with the byte offset.
type syntaxError struct {
	at   int
	want string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("byte %d: want %s", e.at, e.want) }

// scanner walks one JSON text without building values. It accepts exactly what
// encoding/json accepts (a fuzz test holds the two against each other), except
// for text that is not UTF-8 and nesting above maxDepth, which it refuses.
type scanner struct {
	b []byte
	i int
}

// plain marks the bytes a JSON string may hold as they are, in ASCII.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func (s *scanner) fail(want string) error { return &syntaxError{at: s.i, want: want} }

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek gives the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) expect(c byte, want string) error {
	if s.peek() != c {
		return s.fail(want)
	}
	s.i++
	return nil
}

// str reads a string and gives the bytes between its quotes, and whether any
// of them is an escape.
func (s *scanner) str() (raw []byte, escaped bool, err error) {
	if err := s.expect('"', "a string"); err != nil {
		return nil, false, err
	}
	b, i, start := s.b, s.i, s.i
	for i < len(b) {
		c := b[i]
		switch {
		case plain[c]:
			i++
		case c == '"':
			s.i = i + 1
			return b[start:i], escaped, nil
		case c == '\\':
			escaped = true
			n := escapeLen(b[i:])
			if n == 0 {
				s.i = i
				return nil, false, s.fail("a valid escape")
			}
			i += n
		case c < 0x20:
			s.i = i
			return nil, false, s.fail("no control character in a string")
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, false, errInvalidUTF8
			}
			i += n
		}
	}
	s.i = i
	return nil, false, s.fail("the end of the string")
}

// escapeLen is the length of the escape that b begins with, 0 when it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !isHex(c) {
				return 0
			}
		}
		return 6
	}
	return 0
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (s *scanner) digits() bool {
	start := s.i
	for isDigit(s.peek()) {
		s.i++
	}
	return s.i > start
}

// number walks a number in JSON's grammar.
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if !s.digits() {
		return s.fail("a digit")
	}
	if s.peek() == '.' {
		s.i++
		if !s.digits() {
			return s.fail("a digit after the point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return s.fail("a digit in the exponent")
		}
	}
	return nil
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.b[s.i:], []byte(word)) {
		return s.fail("a JSON value")
	}
	s.i += len(word)
	return nil
}

func (s *scanner) scalar() error {
	switch c := s.peek(); {
	case c == '"':
		_, _, err := s.str()
		return err
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	case c == '-' || isDigit(c):
		return s.number()
	}
	return s.fail("a JSON value")
}

// value walks one value of any kind and gives its bytes. It keeps its own
// stack of open brackets, so the goroutine's stack stays small.
func (s *scanner) value() ([]byte, error) {
	start := s.i
	var open [maxDepth]byte
	depth := 0
	for {
		s.space()
		switch c := s.peek(); c {
		case '{', '[':
			if depth == maxDepth {
				return nil, errTooDeep
			}
			s.i++
			s.space()
			if s.peek() == c+2 { // '{'+2 is '}', '['+2 is ']'
				s.i++
				break
			}
			open[depth] = c
			depth++
			if c == '{' {
				if err := s.key(); err != nil {
					return nil, err
				}
			}
			continue
		default:
			if err := s.scalar(); err != nil {
				return nil, err
			}
		}
		more, err := s.after(open[:], &depth)
		if err != nil {
			return nil, err
		}
		if !more {
			return s.b[start:s.i], nil
		}
	}
}

// after closes what ends behind a value, and tells whether another follows.
func (s *scanner) after(open []byte, depth *int) (more bool, err error) {
	for *depth > 0 {
		s.space()
		in := open[*depth-1]
		switch s.peek() {
		case ',':
			s.i++
			if in == '{' {
				s.space()
				return true, s.key()
			}
			return true, nil
		case in + 2:
			s.i++
			*depth--
		default:
			return false, s.fail("',' or the closing bracket")
		}
	}
	return false, nil
}

// key walks a member name and its colon.
func (s *scanner) key() error {
	s.space()
	if _, _, err := s.str(); err != nil {
		return err
	}
	s.space()
	return s.expect(':', "':'")
}

// uint reads a non-negative integer that a double holds exactly.
func (s *scanner) uint() (uint64, bool) {
	start, n := s.i, uint64(0)
	for isDigit(s.peek()) && s.i-start < 17 {
		n = n*10 + uint64(s.b[s.i]-'0')
		s.i++
	}
	switch c := s.peek(); {
	case s.i == start, isDigit(c), c == '.', c == 'e', c == 'E', n > maxInteger,
		s.b[start] == '0' && s.i-start > 1:
		s.i = start
		return 0, false
	}
	return n, true
}

// int is uint with an optional sign, for time stamps that we only echo.
func (s *scanner) int() (int64, bool) {
	neg := s.peek() == '-'
	if neg {
		s.i++
	}
	n, ok := s.uint()
	if !ok || n > math.MaxInt64 {
		if neg {
			s.i--
		}
		return 0, false
	}
	if neg {
		return -int64(n), true
	}
	return int64(n), true
}

// text reads a string value. It allocates only where there are escapes.
func (s *scanner) text() ([]byte, bool, error) {
	if s.peek() != '"' {
		return nil, false, nil
	}
	start := s.i
	raw, escaped, err := s.str()
	if err != nil {
		return nil, false, err
	}
	if escaped {
		var t string
		if err := json.Unmarshal(s.b[start:s.i], &t); err != nil {
			return nil, false, err
		}
		raw = []byte(t)
	}
	return raw, true, nil
}
