package turn_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	playRole() // this process may be a box in a test network
	goleak.VerifyTestMain(m)
}
