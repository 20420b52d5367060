package discovery

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"
)

// BrowseOptions are for one Browse. The zero value is fine.
type BrowseOptions struct {
	// Interfaces and IgnoreInterfaces are the patterns of Config.
	Interfaces       []string
	IgnoreInterfaces []string
	// Every is the longest pause between two rounds of questions; 0: 30 s.
	// The first rounds follow each other faster. A box that lets three of the
	// long rounds pass is gone.
	Every  time.Duration
	Logger *slog.Logger // nil: discard
}

const (
	browseEvery    = 30 * time.Second
	firstRound     = time.Second // after which the second begins; each takes twice the last
	missedRounds   = 3           // RFC 6762 §10.5 asks for two
	sightingsQueue = 64          // a full queue holds up the sockets, whose buffers then overflow
)

func (o BrowseOptions) withDefaults() BrowseOptions {
	if o.Every <= 0 {
		o.Every = browseEvery
	}
	if o.IgnoreInterfaces == nil {
		o.IgnoreInterfaces = virtualInterfaces()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Browse looks for boxes until ctx is cancelled or the loop is left, and yields
// each change to what is in sight; a box that was there before comes as Added.
//
//	for event := range discovery.Browse(ctx, discovery.BrowseOptions{}) { … }
//
// It asks on every interface that the patterns admit. Without any it waits for
// one; Interfaces tells why there is none. When the loop ends, every goroutine
// and socket of it has ended, but for the library's last steps.
func Browse(ctx context.Context, opts BrowseOptions) iter.Seq[Event] {
	opts = opts.withDefaults()
	return func(yield func(Event) bool) {
		ctx, cancel := context.WithCancel(ctx)
		seen := make(chan sighting, sightingsQueue)
		var asking sync.WaitGroup
		defer asking.Wait()
		defer cancel()
		asking.Go(func() { opts.ask(ctx, seen) })
		opts.follow(ctx, seen, yield)
	}
}

// follow turns sightings into events until ctx ends or yield has had enough.
func (o *BrowseOptions) follow(ctx context.Context, seen <-chan sighting, yield func(Event) bool) {
	known, full := newCache(missedRounds*o.Every), false
	expiry := time.NewTimer(time.Hour)
	defer expiry.Stop()
	for {
		next := time.Hour
		if at := known.next(); !at.IsZero() {
			next = max(0, time.Until(at))
		}
		expiry.Reset(next)
		select {
		case <-ctx.Done():
			return
		case s := <-seen:
			if event, changed := known.apply(s, time.Now()); changed && !yield(event) {
				return
			}
			if known.dropped > 0 && !full {
				full = true
				o.Logger.Warn("more boxes in sight than are listed", "reason", "cache_full")
			}
		case <-expiry.C:
			for _, event := range known.expire(time.Now()) {
				if !yield(event) {
					return
				}
			}
		}
	}
}

// ask holds one round after the other. zeroconf tells of a box once and stops
// asking, so every round has new resolvers. The next round begins before the
// last one ends: what is said in between is heard.
func (o *BrowseOptions) ask(ctx context.Context, seen chan<- sighting) {
	var last *round
	defer func() { last.end() }()
	for pause := firstRound; ctx.Err() == nil; pause = min(2*pause, o.Every) {
		fresh := o.begin(ctx, seen)
		last.end()
		last = fresh
		select {
		case <-ctx.Done():
		case <-time.After(min(pause, o.Every)):
		}
	}
}
