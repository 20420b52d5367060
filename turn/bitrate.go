package turn

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// BitRate is in bits of payload per second. In configuration it is text:
// "10Mbit/s". Zero is no limit.
type BitRate int64

const (
	minBitRate BitRate = 8e3
	maxBitRate BitRate = 1e12
)

var bitRateUnits = []struct {
	name string
	bits BitRate
}{
	{"Gbit/s", 1e9}, {"Mbit/s", 1e6}, {"kbit/s", 1e3}, {"bit/s", 1},
}

// wantBitRate says what ParseBitRate accepts.
const wantBitRate = `a rate from 8kbit/s to 1000Gbit/s such as "512kbit/s" or "10Mbit/s", or 0 for no limit`

// ParseBitRate reads a number with a unit, or 0. The error says what was
// written and what would be accepted.
func ParseBitRate(text string) (BitRate, error) {
	if strings.TrimSpace(text) == "0" {
		return 0, nil
	}
	for _, unit := range bitRateUnits {
		at := len(text) - len(unit.name)
		if at <= 0 || !strings.EqualFold(text[at:], unit.name) {
			continue
		}
		number, err := strconv.ParseFloat(strings.TrimSpace(text[:at]), 64)
		if rate := math.Round(number * float64(unit.bits)); err == nil && validBitRate(rate) {
			return BitRate(rate), nil
		}
		break
	}
	return 0, fmt.Errorf("got %q, want %s", text, wantBitRate)
}

// validBitRate is false for NaN as well.
func validBitRate(rate float64) bool {
	return rate == 0 || rate >= float64(minBitRate) && rate <= float64(maxBitRate)
}

// UnmarshalText is ParseBitRate for TOML and JSON.
func (r *BitRate) UnmarshalText(text []byte) error {
	parsed, err := ParseBitRate(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r BitRate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is the rate in the largest unit that loses nothing.
func (r BitRate) String() string {
	if r == 0 {
		return "0"
	}
	for _, unit := range bitRateUnits {
		if r%unit.bits == 0 {
			return strconv.FormatInt(int64(r/unit.bits), 10) + unit.name
		}
	}
	return "" // the last unit divides all
}
