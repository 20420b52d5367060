package wire

import (
	"encoding/binary"
	"errors"
)

// errFields is what is wrong with bytes that appendFields did not write.
var errFields = errors.New("is cut short or has too much")

// appendFields writes each field after its length in two bytes: what is signed
// can then be read in one way only. A field has at most 65,535 bytes; whoever
// calls has bounded it.
func appendFields(b []byte, fields ...[]byte) []byte {
	for _, f := range fields {
		b = binary.BigEndian.AppendUint16(b, uint16(len(f)))
		b = append(b, f...)
	}
	return b
}

// cutField takes the first field off b.
func cutField(b []byte) (field, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, errFields
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, errFields
	}
	return b[2 : 2+n : 2+n], b[2+n:], nil
}

// cutFields takes one field off b for each of into.
func cutFields(b []byte, into ...*[]byte) (rest []byte, err error) {
	for _, f := range into {
		if *f, b, err = cutField(b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// millis is a time as it is signed.
func millis(ms int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(ms)) }
