//go:build linux

package discovery_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"signalbox/discovery"
	"signalbox/internal/netlab"
)

// The library's announcer cannot be waited for; it ends by itself.
var announcer = goleak.IgnoreAnyFunction("github.com/grandcat/zeroconf.(*Server).probe")

// TestMain also plays the parts that the tests put on hosts of their own: code
// that starts goroutines must be a process inside the namespace.
func TestMain(m *testing.M) {
	var part func(context.Context, string) error
	switch netlab.Role() {
	case "box":
		part = playBox
	case "browser":
		part = playBrowser
	default:
		goleak.VerifyTestMain(m, announcer)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	err := part(ctx, os.Args[1])
	if err == nil {
		err = goleak.Find(announcer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// boxPart is what a box is started with.
type boxPart struct {
	Config       discovery.Config
	Announcement discovery.Announcement
}

// playBox runs a Responder until standard input ends. A line on it is another
// announcement; every new status is printed.
func playBox(ctx context.Context, arg string) error {
	var part boxPart
	if err := json.Unmarshal([]byte(arg), &part); err != nil {
		return err
	}
	part.Config.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r, err := discovery.New(part.Config, part.Announcement)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "Run:", err)
		}
	})
	running.Go(func() {
		var last []byte
		for ctx.Err() == nil {
			if now, _ := json.Marshal(r.Status()); !bytes.Equal(now, last) {
				fmt.Printf("%s\n", now)
				last = now
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var a discovery.Announcement
		if err := json.Unmarshal(in.Bytes(), &a); err != nil {
			return err
		}
		if err := r.Update(a); err != nil {
			return err
		}
	}
	stop()
	running.Wait()
	return nil
}

// playBrowser prints the events of a Browse until standard input ends.
func playBrowser(ctx context.Context, arg string) error {
	var opts discovery.BrowseOptions
	if err := json.Unmarshal([]byte(arg), &opts); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	})
	for event := range discovery.Browse(ctx, opts) {
		line, err := json.Marshal(event)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", line)
	}
	waiting.Wait()
	return nil
}
