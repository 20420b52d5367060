package gateway

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// costTunnels is for make bench: 1,000 tunnels or more take their time.
var costTunnels = flag.Int("tunnels", 200, "tunnels that TestTunnelCost opens")

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(costServerEnv) != "" {
		os.Exit(serveCost())
	}
	goleak.VerifyTestMain(m)
}
