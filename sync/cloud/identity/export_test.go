package identity

import "time"

// WithClock has a registrar tell the time by now.
func WithClock(cfg RegistrarConfig, now func() time.Time) RegistrarConfig {
	cfg.now = now
	return cfg
}

// WithBodyWait has a registrar wait so long for the document of a request.
func WithBodyWait(cfg RegistrarConfig, wait time.Duration) RegistrarConfig {
	cfg.bodyWait = wait
	return cfg
}
