//go:build !linux

package upstream

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"signalbox/sync/wire"
)

// machine is for development only here: boxes run Linux.
type machine struct{ dir string }

func (m *machine) look(into map[wire.MetricID]int64) {
	into[wire.BoxUptimeS] = int64(sinceBoot().Seconds())
}

var started = time.Now()

// sinceBoot takes the start of the process for a boot.
func sinceBoot() time.Duration { return time.Since(started) }

var bootID = sync.OnceValue(func() uint32 {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, by its contract
	return hash32([]byte(hex.EncodeToString(b)))
})
