package identity

import "time"

// WithClock has a registrar tell the time by now.
func WithClock(cfg RegistrarConfig, now func() time.Time) RegistrarConfig {
	cfg.now = now
	return cfg
}
