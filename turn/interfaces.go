package turn

import (
	"path"
	"slices"
)

// interfaceFilter tells the interfaces that are part of the site from those
// that are not, by patterns of their names.
type interfaceFilter struct {
	only   []string // empty: all
	ignore []string // wins
}

func (c Config) interfaces() interfaceFilter {
	return interfaceFilter{c.Interfaces, c.IgnoreInterfaces}
}

// includes says whether an interface is part of the site. Loopback is whatever
// only says: it is no network, and those who name eth0 expect to find the relay
// on the box as well.
func (f interfaceFilter) includes(name string) bool {
	match := func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	}
	return !slices.ContainsFunc(f.ignore, match) &&
		(len(f.only) == 0 || name == "lo" || slices.ContainsFunc(f.only, match))
}

// checkInterfaces finds the patterns that are none.
func checkInterfaces(key string, patterns []string, fault faultFunc) {
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			fault(key, pattern, `interface names in which * stands for any characters, such as "docker*"`)
		}
	}
}
