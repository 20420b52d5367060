package wire

import "errors"

// Refusal is why a batch or a document is not taken. Its text is the label
// under which the cloud counts it.
type Refusal string

// The reasons there are. Errors of this package wrap them with what was wrong.
const (
	ErrOversize   Refusal = "oversize"   // more bytes than allowed, also when decompressed
	ErrMalformed  Refusal = "malformed"  // not what the format says
	ErrForeign    Refusal = "foreign"    // of another box than the subject it came on
	ErrSignature  Refusal = "signature"  // not signed by the key it names
	ErrKey        Refusal = "key"        // a kind of key that is not used here
	ErrDictionary Refusal = "dictionary" // compressed with a dictionary that is not known
	ErrLimit      Refusal = "limit"      // more frames, rooms, alerts or metrics than allowed
	ErrSequence   Refusal = "sequence"   // sequence numbers that overlap or descend
	ErrTime       Refusal = "time"       // times that no clock shows, or in the wrong order
)

// Refusals are all of them, for metrics that show zeros.
var Refusals = []Refusal{ErrOversize, ErrMalformed, ErrForeign, ErrSignature, ErrKey, ErrDictionary, ErrLimit, ErrSequence, ErrTime}

// Error is the label.
func (r Refusal) Error() string { return string(r) }

// Reason returns the label of the refusal that err wraps, and "other" for
// other errors.
func Reason(err error) string {
	if r, ok := errors.AsType[Refusal](err); ok {
		return string(r)
	}
	return "other"
}
