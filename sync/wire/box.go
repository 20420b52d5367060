package wire

import (
	"fmt"
	"strings"
)

// BoxID names a box among all boxes of all sites: the place of its frames in
// the stream and the path of its SPIFFE id.
type BoxID struct {
	Tenant string // DefaultTenant unless somebody runs several fleets on one cloud
	Site   string
	Box    string // store.BoxID of the box
}

// DefaultTenant is the tenant of a cloud that has only one.
const DefaultTenant = "main"

// MaxName bounds each of the three parts.
const MaxName = 63

// String is the id as text, TENANT.SITE.BOX.
func (b BoxID) String() string { return b.Tenant + "." + b.Site + "." + b.Box }

// ParseBoxID reads what String wrote.
func ParseBoxID(text string) (BoxID, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return BoxID{}, fmt.Errorf("box id: got %.200q, want TENANT.SITE.BOX", text)
	}
	b := BoxID{parts[0], parts[1], parts[2]}
	return b, b.Validate()
}

// Validate reports the first part that is not a name.
func (b BoxID) Validate() error {
	for _, part := range []struct{ what, name string }{{"tenant", b.Tenant}, {"site", b.Site}, {"box", b.Box}} {
		if err := CheckName(part.name); err != nil {
			return fmt.Errorf("%s: %w", part.what, err)
		}
	}
	return nil
}

// CheckName tells whether name may be a tenant, a site or a box: 1 to 63 of
// a-z, 0-9 and "-", beginning and ending with a letter or digit. It then fits
// a subject, a path of a SPIFFE id and a DNS label.
func CheckName(name string) error {
	ok := len(name) >= 1 && len(name) <= MaxName && name[0] != '-' && name[len(name)-1] != '-'
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		return fmt.Errorf(`got %.80q, want 1 to %d of a-z, 0-9 and "-", not at the ends`, name, MaxName)
	}
	return nil
}

// Path is the path of the SPIFFE id: /t/TENANT/site/SITE/box/BOX.
func (b BoxID) Path() string { return "/t/" + b.Tenant + "/site/" + b.Site + "/box/" + b.Box }

// ParsePath reads what Path wrote.
func ParsePath(path string) (BoxID, error) {
	p := strings.Split(path, "/")
	if len(p) != 7 || p[0] != "" || p[1] != "t" || p[3] != "site" || p[5] != "box" {
		return BoxID{}, fmt.Errorf("SPIFFE path: got %.300q, want /t/TENANT/site/SITE/box/BOX", path)
	}
	b := BoxID{p[2], p[4], p[6]}
	return b, b.Validate()
}
