// Package identity is who a box is to the cloud: its key, its certificate and
// the cloud's roots, in the folder identity of the box's data.
//
//	identity/current -> 00000002   the one in force
//	identity/00000002/             key.pem chain.pem roots.pem site.json
//	identity/lock                  held by whoever writes
//
// A new identity is written whole beside the one in force, and the link is moved
// once the cloud has accepted it. So a process or a power supply may end at any
// step. `signalbox join` writes here while the box runs; the box looks at the
// link every two seconds.
package identity
