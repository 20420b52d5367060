package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/config"
)

type tokenCommands struct {
	Device deviceToken   `cmd:"" help:"Print a token for a device."`
	Admin  adminToken    `cmd:"" help:"Print a token for an administrator, for scripts."`
	Turn   turnToken     `cmd:"" help:"Print credentials for the TURN relay."`
	Invite inviteCommand `cmd:"" help:"Print a link that lets a device, or an administrator, in once."`
	Revoke revokeCommand `cmd:"" help:"Make a token worthless, or all tokens of a subject."`
}

type deviceToken struct {
	boxFlags
	Subject string   `required:"" help:"Name of the device." placeholder:"NAME"`
	Room    []string `required:"" help:"Rooms it may join; * stands for any characters. May be repeated." placeholder:"PATTERN"`
	Rights  []string `help:"What it may do: join, send, create, manage." default:"join,send,create" placeholder:"RIGHT"`
	TTL     lifetime `name:"ttl" help:"How long the token is good." default:"24h"`
	JSON    bool     `name:"json" help:"Print the token and what is in it as JSON."`
}

func (c *deviceToken) Run(p *program) error {
	box, err := c.either(p)
	return with(box, err, func(box *client) error {
		return printToken(p, box, c.JSON, api.TokenCreate{
			Subject: c.Subject, Rooms: c.Room, Rights: c.Rights, TTL: c.TTL.seconds(),
		})
	})
}

type adminToken struct {
	boxFlags
	Subject string   `help:"Name of the administrator." default:"admin" placeholder:"NAME"`
	TTL     lifetime `name:"ttl" help:"How long the token is good." default:"12h"`
	JSON    bool     `name:"json" help:"Print the token and what is in it as JSON."`
}

func (c *adminToken) Run(p *program) error {
	box, err := c.either(p)
	return with(box, err, func(box *client) error {
		return printToken(p, box, c.JSON, api.TokenCreate{
			Subject: c.Subject, Rooms: []string{"*"}, Rights: []string{"join", "send", "create", "manage", "admin"},
			TTL: c.TTL.seconds(),
		})
	})
}

// printToken prints the bare token, for scripts to take as it is.
func printToken(p *program, box *client, asJSON bool, wanted api.TokenCreate) error {
	var made api.Token
	if err := box.call(p.ctx, http.MethodPost, "/v1/tokens", wanted, &made); err != nil {
		return err
	}
	if asJSON {
		return printJSON(p.stdout, made)
	}
	_, err := fmt.Fprintln(p.stdout, made.Token)
	return err
}

type turnToken struct {
	boxFlags
	Subject string   `help:"Whom the relay accounts the traffic to." default:"operator" placeholder:"NAME"`
	TTL     lifetime `name:"ttl" help:"How long new calls may be started." default:"1h"`
	JSON    bool     `name:"json" help:"Print JSON."`
	Rotate  bool     `help:"Change the secret that credentials are made from, and print none."`
	Overlap overlap  `help:"With --rotate: how long credentials made so far go on working; 0 for not at all." default:"24h"`
}

func (c *turnToken) Run(p *program) error {
	box, err := c.either(p)
	return with(box, err, func(box *client) error {
		if c.Rotate {
			return c.rotate(p, box)
		}
		var made api.TURNCredential
		err := box.call(p.ctx, http.MethodPost, "/v1/tokens/turn", api.TURNCreate{Subject: c.Subject, TTL: c.TTL.seconds()}, &made)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.stdout, made)
		}
		t := newTable(p.stdout)
		t.row("urls", strings.Join(made.URLs, " "))
		t.row("username", made.Username)
		t.row("credential", made.Credential)
		t.row("expires", made.Expires.Format(time.RFC3339))
		return t.Flush()
	})
}

func (c *turnToken) rotate(p *program, box *client) error {
	seconds := int64(time.Duration(c.Overlap) / time.Second)
	var done api.RelayRotated
	if err := box.call(p.ctx, http.MethodPost, "/v1/relay/rotate", api.RelayRotate{Overlap: &seconds}, &done); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p.stdout, done)
	}
	_, err := fmt.Fprintf(p.stdout, "the relay has a new secret; credentials made before end at %s\n", done.OlderUntil.Local().Format(time.RFC3339))
	return err
}

type inviteCommand struct {
	boxFlags
	Admin    bool     `help:"The link makes an administrator."`
	Subject  string   `help:"Name for whoever opens the link; a * in it stands for random characters." placeholder:"NAME"`
	Room     []string `help:"Rooms the device may join. May be repeated; the first is the one the link opens." placeholder:"PATTERN"`
	Rights   []string `help:"What the device may do: join, send, create, manage." placeholder:"RIGHT"`
	Uses     int      `help:"How often the link works." default:"1"`
	TTL      lifetime `name:"ttl" help:"How long the link works." default:"24h"`
	TokenTTL lifetime `name:"token-ttl" help:"How long whoever opens it stays signed in." default:"24h"`
	Note     string   `help:"What it is for, shown in lists." placeholder:"TEXT"`
	JSON     bool     `name:"json" help:"Print JSON, with a QR code of the link."`
}

func (c *inviteCommand) Run(p *program) error {
	wanted, err := c.request()
	if err != nil {
		return err
	}
	box, err := c.running(p)
	return with(box, err, func(box *client) error {
		var made api.InviteCreated
		if err := box.call(p.ctx, http.MethodPost, "/v1/invites", wanted, &made); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.stdout, made)
		}
		_, err := fmt.Fprintln(p.stdout, made.URL)
		return err
	})
}

func (c *inviteCommand) request() (api.InviteCreate, error) {
	wanted := api.InviteCreate{
		Subject: c.Subject, Rooms: c.Room, Rights: c.Rights, Uses: c.Uses, Note: c.Note,
		TTL: c.TTL.seconds(), TokenTTL: c.TokenTTL.seconds(),
	}
	if c.Admin {
		wanted.Kind = "admin"
	} else if len(c.Room) == 0 {
		return wanted, usage("an invite needs --room for a device, or --admin")
	}
	return wanted, nil
}

type revokeCommand struct {
	boxFlags
	ID      string `arg:"" optional:"" help:"Id of the token, as --json shows it."`
	Subject string `help:"Revoke all tokens of this subject that were made until now." placeholder:"NAME"`
	Lift    bool   `help:"End the revocation of this token or subject."`
}

func (c *revokeCommand) Run(p *program) error {
	if (c.ID == "") == (c.Subject == "") {
		return usage("give the id of a token, or --subject, and not both")
	}
	box, err := c.either(p)
	return with(box, err, func(box *client) error {
		return box.call(p.ctx, http.MethodPost, "/v1/revocations", api.Revocation{TokenID: c.ID, Subject: c.Subject, Lift: c.Lift}, nil)
	})
}

// lifetime is a duration as configuration writes it, days included. The API
// takes zero for its own default, which is not what somebody meant who wrote it.
type lifetime time.Duration

func (l *lifetime) UnmarshalText(text []byte) error {
	d, err := config.ParseDuration(string(text))
	if err == nil && d < time.Second {
		err = errors.New("want at least 1s")
	}
	if err != nil {
		return fmt.Errorf("got %q, %w", text, err)
	}
	*l = lifetime(d)
	return nil
}

func (l lifetime) seconds() int64 { return int64(time.Duration(l) / time.Second) }

// overlap is a lifetime that may be none at all.
type overlap time.Duration

func (o *overlap) UnmarshalText(text []byte) error {
	d, err := config.ParseDuration(string(text))
	if string(text) == "0" {
		d, err = 0, nil
	}
	if err != nil {
		return fmt.Errorf("got %q, %w", text, err)
	}
	*o = overlap(d)
	return nil
}
