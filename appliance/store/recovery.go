package store

import (
	"fmt"
	"strings"
	"time"
)

// Rung says which step of the recovery ladder led to a usable file.
type Rung string

const (
	RungNone     Rung = ""         // the file was fine, or this is the first start
	RungRepaired Rung = "repaired" // single records were damaged
	RungPrevious Rung = "previous" // the newest commit was damaged, the one before is used
	RungBackup   Rung = "backup"   // the file was unusable or gone, a backup is used
	RungCloud    Rung = "cloud"    // there was no usable backup here, one from the cloud is used
	RungEmpty    Rung = "empty"    // there was none either
)

// Recovery is what Open had to do to end with a usable file.
type Recovery struct {
	Rung     Rung      `json:"rung,omitempty"`
	Time     time.Time `json:"time,omitzero"`
	Problem  string    `json:"problem,omitempty"`  // what was wrong
	Kept     string    `json:"kept,omitempty"`     // where the bad file lies now
	Backup   string    `json:"backup,omitempty"`   // the backup that was used
	BackupAt time.Time `json:"backup_at,omitzero"` // when it was made
	Cloud    string    `json:"cloud,omitempty"`    // why the cloud gave no backup, if it was asked
	Records  []string  `json:"records,omitempty"`  // what became of damaged records
}

// String says in words what happened and what it means for the people of the
// site; "" when nothing did.
func (r Recovery) String() string {
	var b strings.Builder
	switch r.Rung {
	case RungNone:
		return ""
	case RungRepaired:
		b.WriteString("The database was damaged and has been repaired")
		if r.Problem != "" {
			fmt.Fprintf(&b, " without loss (%s)", r.Problem)
		}
		b.WriteString(".")
	case RungPrevious:
		fmt.Fprintf(&b, "The last change to the database was damaged (%s). The state just before it is in use; that one change is lost.", r.Problem)
	case RungBackup:
		fmt.Fprintf(&b, "The database could not be used (%s). The backup of %s is in use; later changes are lost.",
			r.Problem, r.BackupAt.UTC().Format("2006-01-02 15:04 UTC"))
	case RungCloud:
		fmt.Fprintf(&b, "The database could not be used (%s) and there was no usable backup on the box. "+
			"The backup of %s from the cloud is in use; later changes are lost.", r.Problem, r.BackupAt.UTC().Format("2006-01-02 15:04 UTC"))
	case RungEmpty:
		fmt.Fprintf(&b, "The database could not be used (%s) and there is no usable backup. "+
			"The box has started empty, as a new box: create the rooms again, or stop it and run signalbox restore FILE.", r.Problem)
		if r.Cloud != "" {
			fmt.Fprintf(&b, " The cloud was asked for a backup: %s. When it can be reached, stop the box and run signalbox restore --from-cloud.", r.Cloud)
		}
	}
	if len(r.Records) > 0 {
		fmt.Fprintf(&b, " Damaged records: %s.", strings.Join(r.Records, ", "))
	}
	if r.Kept != "" {
		fmt.Fprintf(&b, " The old file is kept as %s.", r.Kept)
	}
	return b.String()
}
