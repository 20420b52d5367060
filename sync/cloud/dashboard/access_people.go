package dashboard

import (
	"fmt"
	"strconv"
	"time"

	"signalbox/internal/jsonapi"
	"signalbox/sync/cloud/people"
)

func (d *Dashboard) listPeople(c *call) (PersonList, error) {
	list, err := d.cfg.People.List(c.r.Context())
	return PersonList{list}, err
}

func (d *Dashboard) addPerson(c *call, in *NewPerson) (PersonLink, error) {
	ctx, cancel := c.change()
	defer cancel()
	code, err := d.cfg.People.Link(ctx, c.who, in.Name, in.Role)
	if err != nil {
		return PersonLink{}, err
	}
	return PersonLink{Link: d.url(c) + "/#link=" + code, Code: code, Expires: time.Now().Add(people.LinkTTL).UTC().Truncate(time.Second)}, nil
}

func (d *Dashboard) patchPerson(c *call, in *PersonPatch) error {
	ctx, cancel := c.change()
	defer cancel()
	return d.cfg.People.SetRole(ctx, c.who, c.r.PathValue("name"), in.Role)
}

func (d *Dashboard) removePerson(c *call) error {
	ctx, cancel := c.change()
	defer cancel()
	return d.cfg.People.Remove(ctx, c.who, c.r.PathValue("name"))
}

func (d *Dashboard) listKeys(c *call) (KeyList, error) {
	keys, err := d.cfg.People.APIKeys(c.r.Context())
	return KeyList{keys}, err
}

const maxKeyTTL = 10 * 365 * 24 * time.Hour

func (d *Dashboard) addKey(c *call, in *NewKey) (KeyMade, error) {
	ttl := time.Duration(in.TTLSeconds) * time.Second
	if in.TTLSeconds < 0 || in.TTLSeconds > int64(maxKeyTTL/time.Second) {
		return KeyMade{}, jsonapi.Wrong("ttl_s", "ttl_s: got %d, want 0 for no end, or at most %d", in.TTLSeconds, int64(maxKeyTTL/time.Second))
	}
	ctx, cancel := c.change()
	defer cancel()
	secret, err := d.cfg.People.NewAPIKey(ctx, c.who, in.Name, in.Role, ttl)
	return KeyMade{Key: secret}, err
}

func (d *Dashboard) removeKey(c *call) error {
	ctx, cancel := c.change()
	defer cancel()
	return d.cfg.People.RemoveAPIKey(ctx, c.who, c.r.PathValue("id"))
}

var auditQuery = []jsonapi.Query{
	{Name: "limit", Kind: "integer", About: fmt.Sprintf("How many entries, 1 to %d; 100 unless given.", people.MaxEntries)},
	{Name: "before", Kind: "integer", About: "Only entries older than this sequence number."},
}

func (d *Dashboard) listAudit(c *call) (AuditList, error) {
	query, err := jsonapi.ParseQuery(c.r, auditQuery)
	if err != nil {
		return AuditList{}, err
	}
	limit, err := number(query, "limit", 100, 1, people.MaxEntries)
	if err != nil {
		return AuditList{}, err
	}
	before, err := number(query, "before", 0, 0, 1<<53)
	if err != nil {
		return AuditList{}, err
	}
	entries, err := d.cfg.Audit.List(c.r.Context(), uint64(before), int(limit))
	return AuditList{entries}, err
}

// number reads a parameter that is a whole number within bounds.
func number(query map[string]string, name string, unset, least, most int64) (int64, error) {
	text, ok := query[name]
	if !ok {
		return unset, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, jsonapi.Wrong(name, "%s: got %.40q, want a whole number from %d to %d", name, text, least, most)
	}
	return n, nil
}
