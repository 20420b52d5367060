// Command release makes what is handed out: static binaries for every
// architecture, archives with all that a site needs offline, packages, their
// sums and signatures. The same commit gives the same bytes, in any folder.
//
//	go run ./packaging/release build [-arch amd64,arm64] [-formats tar,deb,rpm,apk] [-out dist]
//	go run ./packaging/release key FILE      a key for releases: its public half goes to packaging/release.pub
//	go run ./packaging/release sign FILE...  with the key in $SIGNALBOX_SIGNING_KEY
//
// The version is what packaging/version prints ($VERSION sets it), times are
// $SOURCE_DATE_EPOCH, else the time of the commit. $SIGNALBOX_SIGNING_KEY is
// the secret key, or a file with it; without it nothing is signed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: build, key FILE, or sign with one FILE or more")
	}
	switch command, rest := args[0], args[1:]; {
	case command == "build":
		return buildCommand(ctx, rest)
	case command == "key" && len(rest) == 1:
		return newKey(rest[0])
	case command == "sign" && len(rest) > 0:
		return signCommand(ctx, rest)
	}
	return fmt.Errorf("got %q, want build, key FILE, or sign with one FILE or more", strings.Join(args, " "))
}

func buildCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	arch := flags.String("arch", strings.Join(names(targets), ","), "architectures")
	formats := flags.String("formats", "tar,deb,rpm,apk", "what to make of each")
	out := flags.String("out", "dist", "folder for it; what an earlier run left there is replaced")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*arch)
	if err != nil {
		return err
	}
	r, err := newRelease(ctx, *out)
	if err != nil {
		return err
	}
	return r.make(ctx, chosen, strings.Split(*formats, ","))
}
