package store_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also is the child process of the crash tests.
func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(runChild(role))
	}
	goleak.VerifyTestMain(m)
}
