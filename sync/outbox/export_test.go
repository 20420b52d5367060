package outbox

// NoSync makes an outbox for simulations, which does not wait for the disk.
func (c Config) NoSync() Config {
	c.noSync = true
	return c
}
