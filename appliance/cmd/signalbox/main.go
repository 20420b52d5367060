// Command signalbox is a whole box, and the tools to look after one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"signalbox/appliance/config"
	"signalbox/internal/grammar"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

// version is set by the linker, see the Makefile.
var version string

type commands struct {
	Serve     serveCommand     `cmd:"" help:"Run the box."`
	Join      joinCommand      `cmd:"" help:"Join a site of a cloud, which then shows this box."`
	Cloud     cloudCommands    `cmd:"" help:"Run a cloud node, which all sites report to; look after sites, boxes and people."`
	Check     checkCommand     `cmd:"" help:"Check the configuration and name every problem."`
	Status    statusCommand    `cmd:"" help:"Show how the box is doing; look after the relay's allocations."`
	Discover  discoverCommand  `cmd:"" help:"Find boxes on this network."`
	Token     tokenCommands    `cmd:"" help:"Let devices and people in."`
	Room      roomCommands     `cmd:"" help:"Look after rooms."`
	Backup    backupCommand    `cmd:"" help:"Copy the box's state to a file, also while it runs."`
	Restore   restoreCommand   `cmd:"" help:"Put a backup in place of the state of a box that is stopped."`
	Upgrade   upgradeCommands  `cmd:"" help:"See how an upgrade went, or go back to the version before."`
	Provision provisionCommand `cmd:"" help:"Set a new box up from a file on the boot partition or a mounted medium."`
	Console   consoleCommand   `cmd:"" hidden:"" help:"Show on the machine's console how to set the box up, as its units do."`
	Trust     trustCommand     `cmd:"" help:"Print the certificate of the box's own authority."`
	Bench     benchCommand     `cmd:"" help:"Load a box with messages and measure how it does."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

// program is what commands have of the process.
type program struct {
	ctx            context.Context
	stdout, stderr io.Writer
	environ        []string
	version        string
	hup            chan os.Signal // SIGHUP for one that serves; nil where it ends the process
}

func main() {
	ctx, stop := untilSignal()
	p := &program{ctx: ctx, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), version: buildVersion()}
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "cloud") { // before anything else takes time
		p.hup = holdHangup()
	}
	code := run(p, os.Args[1:])
	stop()
	os.Exit(code)
}

// untilSignal ends the context with the first signal that asks to stop. From
// then on another one ends the process at once, as it does to any program.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// run is the program without its process; it returns the exit code.
func run(p *program, args []string) int {
	command, err := newGrammar().Parse(args)
	if wanted, ok := errors.AsType[*grammar.HelpWanted](err); ok {
		wanted.Command.WriteHelp(p.stdout)
		return exitDone
	}
	if err == nil {
		err = command.(interface{ Run(p *program) error }).Run(p)
	}
	return p.explain(err)
}

// newGrammar is the grammar of the command line.
func newGrammar() *grammar.Command {
	return grammar.New("signalbox",
		"Devices on a site's network find the box, meet in rooms and complete WebRTC calls through it.",
		&commands{},
		map[string]string{"default_file": config.DefaultFile, "default_cloud_file": config.DefaultCloudFile},
	)
}

// explain says on standard error what went wrong and chooses the exit code.
func (p *program) explain(err error) int {
	if err == nil {
		return exitDone
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		fmt.Fprintln(p.stderr, problems)
		if len(problems) > 1 {
			fmt.Fprintf(p.stderr, "signalbox: the configuration has %d problems\n", len(problems))
		}
		return exitUsage
	}
	if errors.Is(err, errReported) {
		return exitUsage
	}
	fmt.Fprintf(p.stderr, "signalbox: %v\n", err)
	if _, ok := errors.AsType[*grammar.Error](err); ok {
		fmt.Fprintln(p.stderr, "signalbox --help shows what there is")
		return exitUsage
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// errReported ends a command that has said itself what is wrong with its input.
var errReported = errors.New("reported")

// usageError is a command line that says what cannot be.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// buildVersion is what the Makefile set, else what the Go command knows.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "unknown"
}
