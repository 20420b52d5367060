// Package discovery makes a box findable on its LAN without any configuration:
// it announces _signalbox._tcp by DNS-SD over multicast DNS (RFC 6763, RFC 6762),
// answers for the host name signalbox.local, and finds other boxes.
//
// A Responder announces. Each network interface that the policy admits has a
// link of its own: a zeroconf server for the PTR, SRV and TXT records and a
// companion for what that library lacks, the address records of the host name
// and a goodbye that is sure to be the last word. Interfaces come and go while
// the Responder runs; a network without multicast is retried for ever and shown
// in Status.
//
// Browse finds boxes and reports each as it is added, updated and removed.
//
// Multicast DNS authenticates nobody: whatever Browse reports is a claim. Trust
// begins with the TLS handshake, for which TXT carries a fingerprint (fp).
package discovery

import "maps"

// ServiceType is the DNS-SD service of a box.
const ServiceType = "_signalbox._tcp"

// domain is the only one multicast DNS serves (RFC 6762 §3).
const domain = "local"

// servicePTR is the name whose PTR records list the boxes.
const servicePTR = ServiceType + "." + domain + "."

// The TXT attributes of a box. Others may follow; readers skip what they do not know.
const (
	KeyTxtVersion  = "txtvers" // version of this list: "1"
	KeyID          = "id"      // box id, stable for the life of its data folder
	KeyVersion     = "ver"     // software version
	KeyPath        = "path"    // where the native protocol lives: "/v1/signal"
	KeySite        = "site"    // site name
	KeyRole        = "role"    // "edge" or "cloud"
	KeyUp          = "up"      // "1" while the cloud is reachable, else "0"
	KeyFingerprint = "fp"      // start of the SHA-256 of the box's root certificate, in hex
)

// txtVersion is the value of KeyTxtVersion that this package writes.
const txtVersion = "1"

// Announcement is what a box says about itself.
type Announcement struct {
	Port uint16     // where the box serves
	TXT  Attributes // txtvers is added when missing
}

// clone returns a copy with txtvers in it.
func (a Announcement) clone() Announcement {
	txt := Attributes{KeyTxtVersion: txtVersion}
	maps.Copy(txt, a.TXT)
	return Announcement{Port: a.Port, TXT: txt}
}
