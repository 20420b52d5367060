package dashboard

import (
	"time"

	"signalbox/sync/wire"
)

// Health is how a site, a box or a problem is. Worst first when sorted.
type Health string

const (
	Red     Health = "red"     // somebody must act, or nothing is known
	Amber   Health = "amber"   // it works, but not as it should
	Green   Health = "green"   // well
	Waiting Health = "waiting" // made, and no box has joined yet
)

// Overview is everything the first page shows.
type Overview struct {
	Now      time.Time `json:"now"`
	Seq      uint64    `json:"seq"`   // of the stream; what the page has seen
	Sites    []SiteRow `json:"sites"` // worst first
	Totals   Totals    `json:"totals"`
	Problems int       `json:"problems"` // open and not acknowledged
}

// Totals are sums over all sites: now, and since the beginning.
type Totals struct {
	Sites       int               `json:"sites"`
	Red         int               `json:"red"`
	Amber       int               `json:"amber"`
	Boxes       int               `json:"boxes"`
	Online      int               `json:"online"`
	Sessions    int64             `json:"sessions"`
	Rooms       int64             `json:"rooms"`
	Members     int64             `json:"members"`
	Allocations int64             `json:"allocations"`
	RelayBits   int64             `json:"relay_bits"` // a second, now
	Counters    map[string]uint64 `json:"counters"`   // by metric name
}

// SiteRow is one site on the first page. A site with several boxes shows its
// worst one's health and the sum of their counts.
type SiteRow struct {
	Site      string    `json:"site"`
	Title     string    `json:"title"`
	Health    Health    `json:"health"`
	Why       []Reason  `json:"why"` // the worst first; empty when green
	Boxes     []BoxRow  `json:"boxes"`
	Strip     Strip     `json:"strip"`
	Seen      time.Time `json:"seen,omitzero"` // newest frame
	Sessions  int64     `json:"sessions"`
	Rooms     int64     `json:"rooms"`
	Members   int64     `json:"members"`
	Devices   int64     `json:"devices"` // different ones today, an estimate
	RelayBits int64     `json:"relay_bits"`
	Acked     bool      `json:"acked"` // every problem is acknowledged
}

// BoxRow is one box of a site.
type BoxRow struct {
	Box             string    `json:"box"`
	Name            string    `json:"name,omitempty"`
	Health          Health    `json:"health"`
	Online          bool      `json:"online"`                // it has a connection to a cloud node now
	OnlineSince     time.Time `json:"online_since,omitzero"` // since when it has one, or has none
	Link            string    `json:"link,omitempty"`        // websocket or post
	Seen            time.Time `json:"seen,omitzero"`
	Version         string    `json:"version,omitempty"`
	Arch            string    `json:"arch,omitempty"`
	Started         time.Time `json:"started,omitzero"`
	QueueFrames     int64     `json:"queue_frames"`
	QueueBytes      int64     `json:"queue_bytes"`
	QueueLimitBytes int64     `json:"queue_limit_bytes"`
	Policy          uint64    `json:"policy"`        // the revision in force
	PolicyWanted    uint64    `json:"policy_wanted"` // differs: drift
	PolicyFault     string    `json:"policy_fault,omitempty"`
	Level           string    `json:"level,omitempty"` // of privacy
	CertificateEnd  time.Time `json:"certificate_end,omitzero"`
	CertificateDays int       `json:"certificate_days"`
	DiskFreeBytes   int64     `json:"disk_free_bytes"`
	DiskTotalBytes  int64     `json:"disk_total_bytes"`
	WrittenBytesDay int64     `json:"written_bytes_day"` // by the stores, the last 24 h
	ClockSkewMS     int64     `json:"clock_skew_ms"`
	LastBackup      time.Time `json:"last_backup,omitzero"`
	CloudBackup     time.Time `json:"cloud_backup,omitzero"` // when the newest came to the cloud
	Sessions        int64     `json:"sessions"`
	Rooms           int64     `json:"rooms"`
	Members         int64     `json:"members"`
	Allocations     int64     `json:"allocations"`
	RelayBits       int64     `json:"relay_bits"`
	CPUPermille     int64     `json:"cpu_permille"`
	RSSBytes        int64     `json:"rss_bytes"`
	Revoked         time.Time `json:"revoked,omitzero"`
	Refused         uint64    `json:"refused"` // batches that were not accepted
	Why             []Reason  `json:"why"`
}

// Strip is the last 24 hours in cells of five minutes, the newest last. Each
// character of Cells is one: g green, a amber, r red, "-" nothing known; in
// capitals what came later than it happened, after an outage of the link.
type Strip struct {
	End   time.Time `json:"end"`
	Cells string    `json:"cells"`
}

// Reason says why something is not green, in words a person can act on.
type Reason struct {
	Kind   string    `json:"kind"` // fixed names, see problems.go
	Health Health    `json:"health"`
	Box    string    `json:"box,omitempty"`
	Text   string    `json:"text"`   // what is wrong, with the value
	Advice string    `json:"advice"` // what to do
	Since  time.Time `json:"since"`
	Acked  *Ack      `json:"acked,omitempty"`
}

// Ack is somebody's word that a problem is known. It ends with the problem.
type Ack struct {
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Note string    `json:"note,omitempty"`
}

// Problem is a Reason in the list of all sites.
type Problem struct {
	ID    string `json:"id"` // names it for acknowledging: site, box and kind
	Site  string `json:"site"`
	Title string `json:"title"`
	Reason
}

// Problems are the open ones, the worst and then the oldest first.
type Problems struct {
	Problems []Problem `json:"problems"`
}

// SitePage is everything the page of a site begins with.
type SitePage struct {
	Now      time.Time         `json:"now"`
	Seq      uint64            `json:"seq"`
	Row      SiteRow           `json:"row"`
	Created  time.Time         `json:"created"`
	Totals   map[string]uint64 `json:"totals"` // counters by metric name
	Policy   PolicyView        `json:"policy"`
	Events   []Event           `json:"events"`   // newest first, at most 200
	Rooms    []RoomRow         `json:"rooms"`    // at most 500
	Commands []CommandView     `json:"commands"` // of the last 30 days, newest first, at most 50
}

// Event is something that happened at a site: an alert of a box, or with kind
// joined, online, offline, version or revoked what the cloud saw of one. A box
// is offline when it has had no connection for half a minute.
type Event struct {
	At     time.Time `json:"at"`
	Box    string    `json:"box,omitempty"`
	Kind   string    `json:"kind"`
	Raised bool      `json:"raised"` // false: it ended
	Text   string    `json:"text"`
	Late   bool      `json:"late"` // told after an outage of the link
}

// RoomRow is one room as far as the site's privacy level shows it.
type RoomRow struct {
	Box     string    `json:"box"`
	ID      string    `json:"id"` // opaque unless the level is named
	Members int       `json:"members"`
	Created time.Time `json:"created,omitzero"`
}

// PolicyView is the desired state of a site and of its boxes.
type PolicyView struct {
	Site  *wire.PolicyDoc           `json:"site,omitempty"`
	Boxes map[string]wire.PolicyDoc `json:"boxes,omitempty"`
}

// CommandView is a command and what became of it.
type CommandView struct {
	ID      string    `json:"id"`
	Box     string    `json:"box"`
	Name    string    `json:"name"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"`
	State   string    `json:"state"` // waiting, done, failed, expired
	Text    string    `json:"text,omitempty"`
}

// Series are values over time, for a chart: one time axis for all lines. A null
// is a time of which nothing is known.
type Series struct {
	StepSeconds int     `json:"step_s"`
	Times       []int64 `json:"times"` // Unix seconds, the start of each step
	Lines       []Line  `json:"lines"`
}

// Line is one metric of a Series.
type Line struct {
	Metric string   `json:"metric"`
	Unit   string   `json:"unit"`
	Values []*int64 `json:"values"`
}

// Quality is the distribution of a time over a span, of all boxes of a site.
type Quality struct {
	Metric string  `json:"metric"`
	Count  uint64  `json:"count"`
	P50    float64 `json:"p50_ms"`
	P90    float64 `json:"p90_ms"`
	P99    float64 `json:"p99_ms"`
}

// QualityList is one Quality for each distribution there is.
type QualityList struct {
	Quality []Quality `json:"quality"`
}
