package config

import (
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"signalbox/internal/spelling"
)

const (
	envPrefix      = "SIGNALBOX_"
	cloudEnvPrefix = "SIGNALBOX_CLOUD_"

	// envFile is the end of the variable that names the configuration file where
	// no flag does. It is the one variable with our prefix that is no key.
	envFile = "CONFIG"

	// EnvFile is that variable of a box.
	EnvFile = envPrefix + envFile
)

// serviceLink matches what Docker and Kubernetes put into the environment for
// a service that is called signalbox, or signalbox-something: not meant for us.
var serviceLink = regexp.MustCompile(`^SIGNALBOX(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?|PORT)$`)

// envName is the variable that sets a key: turn.relay_ports is SIGNALBOX_TURN_RELAY_PORTS.
func (d dialect) envName(path string) string {
	return d.envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// A target is a value that environment and flags can set.
type target struct {
	path string
	field
	value reflect.Value
}

// targets finds every target, by dotted path.
func (l *loader) targets() map[string]target {
	found := map[string]target{}
	leaves(l.root, "", func(path string, f field, v reflect.Value) { found[path] = target{path, f, v} })
	return found
}

// setText puts the text of a variable or a flag into a target.
func (l *loader) setText(t target, text string, where Origin) {
	if !utf8.ValidString(text) {
		l.misfit(where, t.path, t.field, text, errors.New("want text in UTF-8"))
		return
	}
	l.set(t.value, t.path, t.field, fromText(text, t.typ), func(string) Origin { return where })
}

// environment reads what os.Environ returns. A variable with our prefix that
// sets nothing is a problem: it is most likely mistyped.
func (l *loader) environment(environ []string) {
	targets := map[string]target{}
	names := []string{envFile}
	for path, t := range l.targets() {
		targets[l.envName(path)] = t
		names = append(names, strings.TrimPrefix(l.envName(path), l.envPrefix))
	}
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, l.envPrefix) || name == l.envPrefix+envFile {
			continue
		}
		if _, ours := targets[name]; !ours && l.others != "" && strings.HasPrefix(name, l.others) {
			continue // meant for a cloud node on the same machine
		}
		if t, ok := targets[name]; ok {
			l.setText(t, text, Origin{Source: name})
			continue
		}
		if isLink(name, text) {
			continue
		}
		unknown := "unknown variable, sets nothing"
		if meant := spelling.Nearest(strings.TrimPrefix(name, l.envPrefix), names); meant != "" {
			unknown += "; did you mean " + l.envPrefix + meant + "?"
		}
		l.report(Problem{Origin: Origin{Source: shownKey(name)}, Text: unknown})
	}
}

// isLink tells the address of a service from a value that is meant for us.
func isLink(name, text string) bool {
	return serviceLink.MatchString(name) &&
		(strings.Contains(name, "_SERVICE_") || strings.Contains(name, "_PORT_") || strings.Contains(text, "://"))
}

// A Flag is a value given on the command line.
type Flag struct {
	Name  string // as it was written: --http
	Key   string // what it sets: http.listen
	Value string
}

// flags sets what flags name. A key that is not there is a fault of the program.
func (l *loader) flags(flags []Flag) {
	targets := l.targets()
	for _, flag := range flags {
		t, ok := targets[flag.Key]
		if !ok {
			panic("config: flag " + flag.Name + " sets " + flag.Key + ", which is no key")
		}
		l.setText(t, flag.Value, Origin{Source: flag.Name})
	}
}
