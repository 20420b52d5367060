package turn

import (
	"context"
	"sync"
)

// RunStreams answers the requests of stream connections until ctx is
// cancelled, and nothing else: in a bubble where time is not real no loop may
// wait for the kernel.
func (s *Server) RunStreams(ctx context.Context) {
	var gates sync.WaitGroup
	for _, g := range s.streams {
		gates.Go(func() { _ = g.run(ctx) })
	}
	gates.Wait()
}
