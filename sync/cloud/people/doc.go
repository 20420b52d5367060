// Package people knows who may look at the dashboard and who may change what it
// shows: sign-in by password or by an outside provider (OpenID Connect), API
// keys for programs, three roles, and the log of what everybody did.
//
// Everything lies in the broker's buckets, so that every cloud node knows the
// same people and a session of one node is good at the others.
package people

import (
	"errors"
	"fmt"
	"time"
)

// Role is what a person may do; each includes the one before.
type Role string

const (
	Viewer        Role = "viewer"        // see everything
	Operator      Role = "operator"      // acknowledge problems, set policies, send commands
	Administrator Role = "administrator" // make sites, revoke boxes, let people in
)

var ranks = map[Role]int{Viewer: 1, Operator: 2, Administrator: 3}

// Includes reports whether a person of role r may do what needs want.
func (r Role) Includes(want Role) bool { return ranks[want] > 0 && ranks[r] >= ranks[want] }

// ParseRole reads a role's name.
func ParseRole(text string) (Role, error) {
	if ranks[Role(text)] == 0 {
		return "", fmt.Errorf("%w: role: got %.40q, want viewer, operator or administrator", ErrInvalid, text)
	}
	return Role(text), nil
}

var (
	// ErrInvalid is returned for a name, role or password that cannot be one.
	ErrInvalid = errors.New("not accepted")
	// ErrRefused is returned for a wrong name or password, without saying which
	// of them, and for a session or key that is not known or has ended.
	ErrRefused = errors.New("refused")
	// ErrUnknown is returned when there is no person, key or link of that name.
	ErrUnknown = errors.New("not known")
	// ErrTaken is returned when there is one already.
	ErrTaken = errors.New("taken")
	// ErrLast is returned for what would leave no administrator who can sign in.
	ErrLast = errors.New("this is the last administrator")
	// ErrSlow is returned to a source that has failed too often; see Retry.
	ErrSlow = errors.New("too many failed attempts")
)

// Person is somebody, or a program, known to the cloud.
type Person struct {
	Name    string    `json:"name"` // what they sign in with; the provider's subject or mail for OIDC
	Role    Role      `json:"role"`
	Created time.Time `json:"created"`
	By      string    `json:"by"`            // who let them in
	Via     string    `json:"via"`           // password, oidc, key, link
	Seen    time.Time `json:"seen,omitzero"` // last sign-in
}

// Ways by which a person is known.
const (
	ViaPassword = "password"
	ViaOIDC     = "oidc"
	ViaKey      = "key"
	ViaLocal    = "local" // on the node's control socket
)

// Local is whoever may open the control socket of a node.
var Local = Person{Name: "local", Role: Administrator, Via: ViaLocal}
