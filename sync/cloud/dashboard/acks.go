package dashboard

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"signalbox/internal/jsonapi"
	"signalbox/internal/order"
	"signalbox/sync/wire"
)

// Keys in the registry, after these: TENANT.SITE.BOX.KIND.
const (
	ackPrefix    = "ack."
	openedPrefix = "problem."
)

const maxNoteBytes = 500

func problemKey(id wire.BoxID, kind string) string { return id.String() + "." + kind }

// problemID is what people see of it: the key without the tenant.
func problemID(site string, w *Reason) string { return site + "." + w.Box + "." + w.Kind }

func (d *Dashboard) listProblems(*call) (Problems, error) {
	s := d.board.current.Load()
	if s == nil {
		return Problems{}, starting()
	}
	return Problems{s.problems()}, nil
}

// problems are those that are open, the worst and then the oldest first.
func (s *snapshot) problems() []Problem {
	all := []Problem{}
	for _, e := range s.order {
		for i := range e.row.Why {
			w := &e.row.Why[i]
			all = append(all, Problem{ID: problemID(e.row.Site, w), Site: e.row.Site, Title: e.row.Title, Reason: *w})
		}
	}
	order.StableBy(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank(a.Health), rank(b.Health)), a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID))
	})
	return all
}

// problem finds an open one by its id.
func (d *Dashboard) problem(c *call) (string, *Reason, error) {
	id := c.r.PathValue("id")
	s := d.board.current.Load()
	if s == nil {
		return "", nil, starting()
	}
	site, _, _ := strings.Cut(id, ".")
	if e, ok := s.sites[site]; ok {
		for i := range e.row.Why {
			if w := &e.row.Why[i]; problemID(site, w) == id {
				return d.cfg.Tenant + "." + id, w, nil
			}
		}
	}
	return "", nil, jsonapi.Refuse(http.StatusNotFound, "problem_not_found", "there is no open problem %.200q; it may have ended", id)
}

func (d *Dashboard) putAck(c *call, in *NewAck) (Ack, error) {
	key, w, err := d.problem(c)
	if err != nil {
		return Ack{}, err
	}
	if len(in.Note) > maxNoteBytes {
		return Ack{}, jsonapi.Wrong("note", "note: got %d bytes, want at most %d", len(in.Note), maxNoteBytes)
	}
	// A problem may be dated by a clock that is ahead of this one; it is known
	// now all the same.
	at := time.Now().UTC().Truncate(time.Second)
	if at.Before(w.Since) {
		at = w.Since
	}
	ack := Ack{By: c.who.Name, At: at, Note: in.Note}
	ctx, cancel := c.change()
	defer cancel()
	if err := d.board.acks.put(ctx, key, ack); err != nil {
		return Ack{}, err
	}
	return ack, d.note(ctx, c, "problem-known", c.r.PathValue("id"), in.Note)
}

func (d *Dashboard) removeAck(c *call) error {
	key, _, err := d.problem(c)
	if err != nil {
		return err
	}
	ctx, cancel := c.change()
	defer cancel()
	if err := d.board.acks.remove(ctx, key); err != nil {
		return err
	}
	return d.note(ctx, c, "problem-unknown", c.r.PathValue("id"), "")
}
