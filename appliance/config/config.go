// Package config puts a box's configuration together: the sections, which live
// with the packages that read them, from defaults, a TOML file, environment
// variables and flags, each on top of the one before. It reports every problem
// at once and knows where each value came from.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/signaling"
	"signalbox/appliance/store"
	"signalbox/appliance/trust"
	"signalbox/discovery"
	"signalbox/sync/upstream"
	"signalbox/turn"
)

// Config is the whole configuration of a box. The zero value is not usable;
// Default and Load make one.
type Config struct {
	Data      string           `toml:"data"` // the folder of the box's state
	Site      Site             `toml:"site"`
	HTTP      HTTP             `toml:"http"`
	TLS       trust.Config     `toml:"tls"`
	Auth      auth.Config      `toml:"auth"`
	Signaling signaling.Config `toml:"signaling"`
	Turn      turn.Config      `toml:"turn"`
	Discovery discovery.Config `toml:"discovery"`
	Store     store.Config     `toml:"store"`
	Upstream  upstream.Config  `toml:"upstream"`
	Log       Log              `toml:"log"`

	// Version is the running program's; set by main.
	Version string `toml:"-"`
	// Runtime is a folder in memory that belongs to the service; "" for none.
	Runtime string `toml:"-"`
}

// Site is the [site] section.
type Site struct {
	Name string `toml:"name"` // what people call the place; the host's name if empty
}

// Validate reports every fault of the section.
func (s Site) Validate() error {
	if len(s.Name) > maxSiteName || strings.ContainsFunc(s.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("site.name: got %s, want one line of at most %d bytes", shown(s.Name), maxSiteName)
	}
	return nil
}

// maxSiteName fits with its key into one string of a TXT record (RFC 6763 §6.1).
const maxSiteName = 200

// HTTP is the [http] section: addresses to listen on. Port 0 takes a free one.
type HTTP struct {
	Listen []string `toml:"listen"`
	HTTPS  []string `toml:"https"`

	// Handed are sockets that listen already, from the service manager: "http"
	// and "https" by name. They are served beside the addresses above, and an
	// address that one of them has is not bound again. The box closes them.
	Handed map[string][]net.Listener `toml:"-"`
}

// Validate reports every fault of the section.
func (h HTTP) Validate() error {
	var errs []error
	seen := map[string]bool{}
	check := func(key string, addrs []string) {
		for _, addr := range addrs {
			host, port, err := net.SplitHostPort(addr)
			_, portErr := strconv.ParseUint(port, 10, 16)
			switch {
			case err != nil || portErr != nil || strings.ContainsAny(host, " /"):
				errs = append(errs, fmt.Errorf(`%s: got %s, want ADDRESS:PORT or :PORT, such as ":8080" or "192.168.1.5:8080"`, key, shown(addr)))
			case seen[addr] && port != "0":
				errs = append(errs, fmt.Errorf("%s: got %s, want each address once", key, shown(addr)))
			}
			seen[addr] = true
		}
	}
	check("http.listen", h.Listen)
	check("http.https", h.HTTPS)
	if len(h.Listen)+len(h.HTTPS)+len(h.Handed) == 0 {
		errs = append(errs, errors.New(`http.listen: got [], want an address here or in http.https: devices sign in there`))
	}
	return errors.Join(errs...)
}

// DefaultFile is read when no other file is named, if it is there.
const DefaultFile = "/etc/signalbox/signalbox.toml"

// Default is the configuration of a box that nobody has configured.
func Default() Config {
	return Config{
		Data: "/var/lib/signalbox",
		HTTP: HTTP{Listen: []string{":8080"}, HTTPS: []string{":8443"}},
		Auth: auth.Config{
			Admission:  auth.AdmissionToken,
			OpenRooms:  []string{"*"},
			OpenRights: auth.DeviceRights.Names(),
			TokenTTL:   90 * 24 * time.Hour,
		},
		Signaling: signaling.DefaultConfig(),
		Turn:      turn.Default(),
		Discovery: discovery.Default(),
		Store:     store.Default(),
		Upstream:  upstream.Default(),
		Log:       Log{Format: FormatText},
	}
}

// Sources are where Load reads from.
type Sources struct {
	File    string   // a TOML file; DefaultFile, if it is there, when empty
	Environ []string // as from os.Environ
	Flags   []Flag
	// KeyFiles has the files that the configuration names looked into as well:
	// certificates and keys. Those who only want to reach the box cannot read them.
	KeyFiles bool
}

// Loaded is a configuration that knows where its values came from.
type Loaded struct {
	Config
	origins map[string]Origin
}

// Load puts a configuration together. The error, if there is one, is of type
// Problems and holds everything that is wrong; what is not is in the result.
func Load(from Sources) (*Loaded, error) {
	cfg := Default()
	l := newLoader(&cfg, boxDialect)
	l.read(from)
	if cfg.Store.Dir = cfg.Data; cfg.Data == "" {
		cfg.Store.Dir = Default().Data // one report is enough
		l.faults(errors.New(`data: got "", want a folder for the state of the box`))
	}
	l.validate(from.KeyFiles)
	loaded := &Loaded{cfg, l.origins}
	if len(l.problems) > 0 {
		return loaded, l.problems.sorted()
	}
	return loaded, nil
}

// FileOf is the file that Load would read: the one named, or by the environment,
// else the default one, which may be missing.
func FileOf(from Sources) string {
	l := loader{dialect: boxDialect}
	return cmp.Or(from.File, l.envFile(from.Environ), l.defaultFile)
}

// read goes through the sources, each on top of the one before.
func (l *loader) read(from Sources) {
	switch file := from.File; {
	case file != "":
		l.file(file, false)
	case l.envFile(from.Environ) != "":
		l.file(l.envFile(from.Environ), false)
	default:
		l.file(l.defaultFile, true)
	}
	l.environment(from.Environ)
	l.flags(from.Flags)
	l.credentials(from.Environ)
}

func (l *loader) envFile(environ []string) string {
	file := ""
	for _, entry := range environ {
		if text, ok := strings.CutPrefix(entry, l.envPrefix+envFile+"="); ok {
			file = text
		}
	}
	return file
}

var fromDefault = Origin{Source: "default"}

// Origin tells where the value of a dotted key came from.
func (l *Loaded) Origin(key string) Origin { return origin(l.origins, key) }

func origin(origins map[string]Origin, key string) Origin {
	for {
		if o, ok := origins[key]; ok {
			return o
		}
		cut := strings.LastIndexAny(key, ".[")
		if cut < 0 {
			return fromDefault
		}
		key = key[:cut]
	}
}

// validate asks every section what is wrong with it.
func (l *loader) validate(keyFiles bool) {
	for _, f := range fieldsOf(l.root.Type()) {
		var err error
		switch section := l.root.FieldByIndex(f.index).Interface().(type) {
		case interface{ Check() error }:
			if keyFiles {
				err = section.Check()
			} else if v, ok := section.(interface{ Validate() error }); ok {
				err = v.Validate()
			}
		case interface{ Validate() error }:
			err = section.Validate()
		}
		l.faults(err)
	}
}

// faults reports each of the errors that are joined in err. One that begins
// with a key, "turn.realm: got X, want Y", belongs to the place that set it.
func (l *loader) faults(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			l.faults(err)
		}
		return
	}
	if err == nil {
		return
	}
	p := Problem{Text: err.Error()}
	if key, text, ok := strings.Cut(p.Text, ": "); ok && l.isKey(key) {
		p.Key, p.Text = key, text
		if o := origin(l.origins, key); o != fromDefault {
			p.Origin = o
		}
		got, want, isPair := strings.Cut(text, ", want ")
		if got, ok := strings.CutPrefix(got, "got "); ok && isPair {
			p.Got, p.Want, p.Text = got, want, ""
		}
	}
	l.report(p)
}

// isKey reports whether text is the dotted path of a value: auth.issuers[0].name.
func (l *loader) isKey(text string) bool {
	t := l.root.Type()
	for part := range strings.SplitSeq(text, ".") {
		name, _, _ := strings.Cut(part, "[")
		if t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if !isTable(t) {
			return false
		}
		fields := fieldsOf(t)
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == name })
		if i < 0 {
			return false
		}
		t = fields[i].typ
	}
	return true
}
