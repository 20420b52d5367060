package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/appliance/config"
	"signalbox/appliance/control"
	"signalbox/sync/cloud"
	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/identity"
	"signalbox/systemd"
)

// cloudCommands run a cloud node and look after what it keeps.
type cloudCommands struct {
	Serve      cloudServe      `cmd:"" default:"withargs" help:"Run a cloud node (the default)."`
	Status     cloudStatus     `cmd:"" help:"Show how the node and the sites are doing."`
	Site       cloudSites      `cmd:"" help:"Look after sites."`
	Box        cloudBoxes      `cmd:"" help:"Look after boxes."`
	Person     cloudPeople     `cmd:"" help:"Let people in, and out."`
	Key        cloudKeys       `cmd:"" help:"API keys for programs."`
	Backup     cloudBackups    `cmd:"" help:"See the sealed backups of boxes."`
	Verify     cloudVerify     `cmd:"" help:"Read the streams again, compare with the node's state and print its hash."`
	Check      cloudCheck      `cmd:"" help:"Check the configuration and name every problem."`
	NATSConfig cloudNATSConfig `cmd:"" name:"nats-config" help:"Print what an external NATS cluster needs in its configuration."`
	RotateCA   cloudRotateCA   `cmd:"" name:"rotate-ca" help:"Make the next root authority, while no node runs on the folder."`
}

// cloudFlags name the node a command is for.
type cloudFlags struct {
	Config string  `help:"Configuration file. Default: $$SIGNALBOX_CLOUD_CONFIG, else ${default_cloud_file} if it is there." placeholder:"FILE"`
	Data   *string `help:"Folder of the node's state." placeholder:"DIR"`
}

func (f cloudFlags) sources(p *program) config.Sources {
	s := config.Sources{File: f.Config, Environ: p.environ}
	add(&s, "--data", "data", f.Data)
	return s
}

// running connects to the node, which must run.
func (f cloudFlags) running(p *program) (*client, error) {
	loaded, err := config.LoadCloud(f.sources(p))
	if problems, isProblem := errors.AsType[config.Problems](err); err != nil && !isProblem {
		return nil, err
	} else if loaded.Data == "" {
		return nil, problems
	}
	node, err := dialBox(p.ctx, loaded.Data)
	if errors.Is(err, control.ErrStopped) {
		return nil, fmt.Errorf("no cloud node runs on %s; start it with: signalbox cloud --data %s", loaded.Data, loaded.Data)
	}
	return node, err
}

type cloudServe struct {
	cloudFlags
	HTTP      *string `name:"http" help:"Addresses for HTTP, which leads to HTTPS; empty for none." placeholder:":8090"`
	HTTPS     *string `name:"https" help:"Addresses for HTTPS." placeholder:":8453"`
	Proxies   *string `name:"trusted-proxies" help:"Addresses and prefixes of load balancers in front, separated by commas." placeholder:"PREFIX,…"`
	URL       *string `name:"url" help:"Where boxes and people reach the cloud." placeholder:"https://cloud.example"`
	Names     *string `name:"names" help:"Names and addresses that the node's own certificate is for, separated by commas." placeholder:"NAME,…"`
	NATS      *string `name:"nats" help:"External NATS servers, separated by commas, in place of the embedded one." placeholder:"nats://HOST:4222"`
	Callout   *string `name:"nats-callout" help:"File with the seed of the account's signing key, see nats-config." placeholder:"FILE"`
	NATSUser  *string `name:"nats-user" help:"User of the node at the NATS servers." placeholder:"NAME"`
	NATSPass  *string `name:"nats-password-file" help:"File with that user's password." placeholder:"FILE"`
	Name      *string `help:"What other nodes and logs call this node." placeholder:"NAME"`
	TLSCert   *string `name:"tls-cert" help:"Certificate of your own for HTTPS, with its chain." placeholder:"FILE"`
	TLSKey    *string `name:"tls-key" help:"Key of --tls-cert." placeholder:"FILE"`
	LogLevel  *string `help:"debug, info, warn or error." placeholder:"info"`
	LogFormat *string `help:"text or json." placeholder:"text"`
	ReadyJSON bool    `name:"ready-json" help:"Once the node serves, print its addresses as one line of JSON."`
}

func (c *cloudServe) sources(p *program) config.Sources {
	s := c.cloudFlags.sources(p)
	add(&s, "--http", "http.listen", c.HTTP)
	add(&s, "--https", "http.https", c.HTTPS)
	add(&s, "--trusted-proxies", "http.trusted_proxies", c.Proxies)
	add(&s, "--url", "url", c.URL)
	add(&s, "--names", "tls.names", c.Names)
	add(&s, "--nats", "nats.urls", c.NATS)
	add(&s, "--nats-callout", "nats.callout_file", c.Callout)
	add(&s, "--nats-user", "nats.user", c.NATSUser)
	add(&s, "--nats-password-file", "nats.password_file", c.NATSPass)
	add(&s, "--name", "name", c.Name)
	add(&s, "--tls-cert", "tls.cert", c.TLSCert)
	add(&s, "--tls-key", "tls.key", c.TLSKey)
	add(&s, "--log-level", "log.level", c.LogLevel)
	add(&s, "--log-format", "log.format", c.LogFormat)
	s.KeyFiles = true
	return s
}

func (c *cloudServe) Run(p *program) error {
	loaded, err := config.LoadCloud(c.sources(p))
	if err != nil {
		return err
	}
	cfg := loaded.Config
	level := new(slog.LevelVar)
	level.Set(loaded.Log.Level)
	cfg.Version, cfg.Logger = p.version, loaded.Log.LoggerAt(os.Stderr, level)
	handed, err := systemd.Listeners(p.getenv)
	if err != nil {
		return err
	}
	for name, listeners := range handed {
		if name != "https" {
			return fmt.Errorf("the service manager has handed over a socket named %q, want FileDescriptorName=https in its unit", name)
		}
		cfg.HTTP.Handed = listeners
	}
	node, err := cloud.New(cfg)
	if err != nil {
		return err
	}
	socket, err := control.Listen(cfg.Data)
	if err != nil {
		node.Close()
		return err
	}
	service, err := newService(p, node, cfg.Logger, func() error { return c.reload(p, loaded, level, cfg.Logger) })
	if err != nil {
		node.Close()
		return errors.Join(err, socket.Close())
	}
	g, ctx := errgroup.WithContext(p.ctx)
	g.Go(func() error { return node.Run(ctx) })
	g.Go(func() error { return serveControl(ctx, socket, node.Control()) })
	g.Go(func() error {
		return service.run(ctx, func(ctx context.Context) error { return c.announce(ctx, p, node) })
	})
	return g.Wait()
}

// reload reads the configuration again. The level of the log is what can change
// while a node runs; certificate files are looked at by the node itself.
func (c *cloudServe) reload(p *program, before *config.LoadedCloud, level *slog.LevelVar, log *slog.Logger) error {
	next, err := config.LoadCloud(c.sources(p))
	if err != nil {
		log.Error("the configuration was not reloaded, the one before stays in force", "component", "config", "err", err)
		return err
	}
	level.Set(next.Log.Level)
	log.Info("configuration reloaded", "component", "config")
	if waiting := config.ChangedCloud(before.Cloud, next.Cloud, "log.level"); len(waiting) > 0 {
		log.Warn("part of the new configuration waits for a restart", "component", "config", "reason", strings.Join(waiting, ", "))
	}
	return nil
}

// controlStop is for requests of command lines that are on their way.
const controlStop = 3 * time.Second

func serveControl(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: controlStop}
	stop := context.AfterFunc(ctx, func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), controlStop)
		defer cancel()
		if server.Shutdown(late) != nil {
			_ = server.Close()
		}
	})
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// announce tells people on standard error, and programs on standard output,
// that the node serves and where.
func (c *cloudServe) announce(ctx context.Context, p *program, node *cloud.Node) error {
	link, err := node.FirstLink(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stderr, "\nsignalbox cloud %s serves\n\nopen\n  %s\n", p.version, node.URL())
	if link != "" {
		fmt.Fprintf(p.stderr, "\nset up, once, within a day\n  %s\n", link)
	}
	fmt.Fprintln(p.stderr)
	if !c.ReadyJSON {
		return nil
	}
	plain, secure := node.Addrs()
	return json.NewEncoder(p.stdout).Encode(struct {
		URL   string   `json:"url"`
		HTTP  []string `json:"http"`
		HTTPS []string `json:"https"`
		Setup string   `json:"setup,omitempty"`
	}{node.URL(), plain, secure, link})
}

type cloudCheck struct{ cloudServe }

func (c *cloudCheck) Run(p *program) error {
	if _, err := config.LoadCloud(c.sources(p)); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, "the configuration is good")
	return nil
}

type cloudVerify struct {
	cloudFlags
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *cloudVerify) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var v cloud.Verified
		if err := node.call(p.ctx, http.MethodPost, "/v1/verify", struct{}{}, &v); err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(p.stdout, v)
		} else {
			t := newTable(p.stdout)
			t.row("stream", v.Seq)
			t.row("node", v.Hash)
			t.row("streams", v.Streams)
			if !v.Whole {
				t.row("note", "the node knows more than its streams; totals and hours were compared")
			}
			err = t.Flush()
		}
		if err == nil && !v.Equal {
			err = errors.New("the node's state is not what the streams say; stop it, delete projection.db in its folder and start it again")
		}
		return err
	})
}

type cloudNATSConfig struct {
	Account string `default:"SIGNALBOX" help:"Account of the cluster for the streams."`
	User    string `default:"cloud" help:"User of the cloud nodes."`
	Seed    string `name:"seed-file" default:"callout.seed" help:"File for the seed of the account's signing key; made if it is not there." placeholder:"FILE"`
}

// Run prints to standard output, so that it can be put into a file that the
// servers include.
func (c *cloudNATSConfig) Run(p *program) error {
	seed, err := os.ReadFile(c.Seed)
	if errors.Is(err, os.ErrNotExist) {
		var made string
		if made, err = broker.NewCalloutSeed(); err != nil {
			return err
		}
		seed = []byte(made + "\n")
		if err = os.WriteFile(c.Seed, seed, 0o600); err == nil {
			fmt.Fprintf(p.stderr, "signalbox: %s was made; copy it to every cloud node and name it in nats.callout_file\n", c.Seed)
		}
	}
	if err != nil {
		return fmt.Errorf("seed file: %w", err)
	}
	text, err := broker.CalloutConfig(string(trimLine(seed)), c.Account, c.User)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(p.stdout, text)
	return err
}

func trimLine(text []byte) []byte {
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	return text
}

type cloudRotateCA struct{ cloudFlags }

func (c *cloudRotateCA) Run(p *program) error {
	loaded, err := config.LoadCloud(c.sources(p))
	if err != nil {
		return err
	}
	if node, err := dialBox(p.ctx, loaded.Data); err == nil {
		return errors.Join(fmt.Errorf("a cloud node runs on %s; stop it first", loaded.Data), node.close())
	}
	if err := identity.Rotate(loaded.Data); err != nil {
		return err
	}
	fmt.Fprintln(p.stderr, "signalbox: the authority has a new root and issuer; copy ca/root.pem and ca/issuer.* to the other nodes before you start them")
	return nil
}
