package main

import "signalbox/appliance/config"

// boxFlags name the box a command is for.
type boxFlags struct {
	Config string  `help:"Configuration file. Default: $$SIGNALBOX_CONFIG, else ${default_file} if it is there." placeholder:"FILE"`
	Data   *string `help:"Folder of the box's state." placeholder:"DIR"`
}

// serveFlags set single values on top of the configuration.
type serveFlags struct {
	boxFlags
	HTTP      *string `name:"http" help:"Addresses for HTTP, separated by commas; empty for none." placeholder:":8080"`
	HTTPS     *string `name:"https" help:"Addresses for HTTPS; empty for none." placeholder:":8443"`
	TURN      *string `name:"turn" help:"Addresses for STUN and TURN, on UDP and TCP." placeholder:":3478"`
	TURNTLS   *string `name:"turn-tls" help:"Addresses for TURN over TLS alone; empty for none. HTTPS carries it too." placeholder:"auto"`
	Site      *string `help:"What people call this place." placeholder:"NAME"`
	TLSCert   *string `name:"tls-cert" help:"Certificate of your own for HTTPS, with its chain." placeholder:"FILE"`
	TLSKey    *string `name:"tls-key" help:"Key of --tls-cert." placeholder:"FILE"`
	LogLevel  *string `help:"debug, info, warn or error." placeholder:"info"`
	LogFormat *string `help:"text or json." placeholder:"text"`
}

func (f boxFlags) sources(p *program) config.Sources {
	s := config.Sources{File: f.Config, Environ: p.environ}
	add(&s, "--data", "data", f.Data)
	return s
}

// arguments start this program with a command for the same box.
func (f boxFlags) arguments(command ...string) []string {
	if f.Config != "" {
		command = append(command, "--config", f.Config)
	}
	if f.Data != nil {
		command = append(command, "--data", *f.Data)
	}
	return command
}

func (f serveFlags) sources(p *program) config.Sources {
	s := f.boxFlags.sources(p)
	add(&s, "--http", "http.listen", f.HTTP)
	add(&s, "--https", "http.https", f.HTTPS)
	add(&s, "--turn", "turn.listen", f.TURN)
	add(&s, "--turn-tls", "turn.tls_listen", f.TURNTLS)
	add(&s, "--site", "site.name", f.Site)
	add(&s, "--tls-cert", "tls.cert", f.TLSCert)
	add(&s, "--tls-key", "tls.key", f.TLSKey)
	add(&s, "--log-level", "log.level", f.LogLevel)
	add(&s, "--log-format", "log.format", f.LogFormat)
	s.KeyFiles = true
	return s
}

func add(s *config.Sources, name, key string, value *string) {
	if value != nil {
		s.Flags = append(s.Flags, config.Flag{Name: name, Key: key, Value: *value})
	}
}
