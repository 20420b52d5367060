//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// watcher is somebody at the dashboard: it reads the stream of events and notes
// how old a frame is when its site's row comes.
type watcher struct {
	all    *sites
	before time.Duration // between two frames until now

	mu    sync.Mutex
	delay []time.Duration
	bytes int64
}

// maxEvent is more than an overview of all sites takes.
const maxEvent = 256 << 20

func (w *watcher) run(ctx context.Context, n *node) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/v1/events", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+n.admin.Key)
	answer, err := n.admin.Client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("events: %s", answer.Status)
	}
	in := bufio.NewScanner(answer.Body)
	event := ""
	for in.Buffer(nil, maxEvent); in.Scan(); {
		now, line := time.Now(), in.Text()
		if name, ok := strings.CutPrefix(line, "event: "); ok {
			event = name
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok && event == "change" {
			if err := w.take(now, data); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errors.New("the stream of events has ended"), in.Err())
}

func (w *watcher) take(now time.Time, data string) error {
	var change struct {
		Sites []struct {
			Site string    `json:"site"`
			Seen time.Time `json:"seen"`
		} `json:"sites"`
	}
	if err := json.Unmarshal([]byte(data), &change); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += int64(len(data))
	for _, row := range change.Sites {
		s := w.all.byName[row.Site]
		if s == nil {
			continue
		}
		s.mu.Lock()
		// The cloud dates the frame by the stream's clock, which is this machine's.
		if !s.published.IsZero() && !row.Seen.Before(s.published.Add(-20*time.Millisecond).Truncate(time.Millisecond)) {
			w.delay = append(w.delay, now.Sub(s.published))
			s.published = time.Time{}
		}
		s.mu.Unlock()
	}
	return nil
}

// take99 returns the median, the 99th percentile and the number of what was
// noted since the last call.
func (w *watcher) take99() (median, p99 time.Duration, count int) {
	w.mu.Lock()
	list := w.delay
	w.delay = nil
	w.mu.Unlock()
	if len(list) == 0 {
		return 0, 0, 0
	}
	slices.Sort(list)
	return list[len(list)/2], list[(len(list)-1)*99/100], len(list)
}
