package config

import (
	"errors"

	"signalbox/sync/cloud"
)

// DefaultCloudFile is read by a cloud node when no other file is named, if it is
// there.
const DefaultCloudFile = "/etc/signalbox/cloud.toml"

// Cloud is the whole configuration of a cloud node. The zero value is not
// usable; DefaultCloud and LoadCloud make one.
type Cloud struct {
	cloud.Config
	Log Log `toml:"log"`
}

// DefaultCloud is the configuration of a node that nobody has configured.
func DefaultCloud() Cloud {
	return Cloud{Config: cloud.Default(), Log: Log{Format: FormatText}}
}

// LoadedCloud is a configuration that knows where its values came from.
type LoadedCloud struct {
	Cloud
	origins map[string]Origin
}

// Origin tells where the value of a dotted key came from.
func (l *LoadedCloud) Origin(key string) Origin { return origin(l.origins, key) }

// LoadCloud is Load for a cloud node.
func LoadCloud(from Sources) (*LoadedCloud, error) {
	cfg := DefaultCloud()
	l := newLoader(&cfg, cloudDialect)
	l.read(from)
	if cfg.Data == "" {
		l.faults(errors.New(`data: got "", want a folder for the state of the node`))
	}
	l.validate(from.KeyFiles)
	loaded := &LoadedCloud{cfg, l.origins}
	if len(l.problems) > 0 {
		return loaded, l.problems.sorted()
	}
	return loaded, nil
}
