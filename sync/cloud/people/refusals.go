package people

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"signalbox/internal/jsonapi"
)

// refusalLimits bound what refused sign-ins write to the audit log: somebody who
// guesses must not push out what people have done. A network source has ten at
// once and one a minute, all together thirty a minute.
var refusalLimits = jsonapi.Limits{PerSource: rate.Every(time.Minute), PerSourceBurst: 10, Total: 0.5, TotalBurst: 100, Sources: 1024}

// refusals writes refused sign-ins to the audit log, or counts them. Safe for
// concurrent use.
type refusals struct {
	audit   *Audit
	limiter *jsonapi.SourceLimiter
	omitted atomic.Uint64 // since the last that was written
}

func newRefusals(audit *Audit) *refusals {
	return &refusals{audit: audit, limiter: jsonapi.NewSourceLimiter(refusalLimits)}
}

// write notes that name was not let in. An entry says how many before it were
// left out. That it cannot be written does not change the refusal.
func (r *refusals) write(ctx context.Context, source, name, via string) {
	if _, ok := r.limiter.Allow(source+":0", time.Now()); !ok {
		r.omitted.Add(1)
		return
	}
	e := Entry{By: shortened(name), Action: "sign-in", From: source, Detail: via, Outcome: "refused"}
	if n := r.omitted.Swap(0); n > 0 {
		e.Outcome = fmt.Sprintf("refused; %d refusals before it are not in the log", n)
	}
	_ = r.audit.Write(ctx, e)
}
