package trust

import (
	"slices"
	"time"
)

// Status is what health and the console show.
type Status struct {
	Source      string    // SourceLocal or SourceFiles
	Names       []string  // what the certificate in force is for, addresses included
	Refused     []string  // names and addresses of the box that its root does not permit
	Expires     time.Time // of the certificate in force
	RootExpires time.Time
	Fingerprint string // of the root
	Err         error  // why the files, or a newer leaf, are not in force; or what has expired
}

// Where the certificate in force comes from.
const (
	SourceLocal = "local"
	SourceFiles = "files"
)

// Status describes the certificate in force.
func (a *Authority) Status() Status {
	s := Status{Source: SourceLocal, RootExpires: a.root.cert.NotAfter, Fingerprint: a.Fingerprint()}
	a.mu.Lock()
	s.Refused, s.Err = slices.Clone(a.refused), a.err
	a.mu.Unlock()
	if own := a.own.Load(); own != nil {
		s.Source, s.Expires = SourceFiles, own.Leaf.NotAfter
		s.Names = slices.Clone(own.Leaf.DNSNames)
		for _, ip := range own.Leaf.IPAddresses {
			s.Names = append(s.Names, ip.String())
		}
	} else if local := a.local.Load(); local != nil {
		s.Expires, s.Names = local.until, local.all()
	}
	return s
}
