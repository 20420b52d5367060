package wire

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Copies of a box's state at the cloud. They are sealed before they leave the
// box, so these requests carry bytes that only the box, or who has its recovery
// code, can read:
//
//	PUT /sync/v1/backup/DIGEST   keep this one; the body has that SHA-256
//	GET /sync/v1/backup          -> Backups, newest first
//	GET /sync/v1/backup/DIGEST   -> the bytes
//
// DIGEST is 64 hex digits, lower case. Each request carries a proof of the box
// as all others do. That proof covers method and path, and so the digest of the
// body: neither side has to have read a body before it can tell whose it is. The
// answers to PUT (a Backup) and to the list are covered by the cloud's proof.
const BackupPath = "/sync/v1/backup"

const (
	// MaxBackupBytes bounds one sealed backup.
	MaxBackupBytes = 32 << 20
	// BackupsKept is how many the cloud keeps of each box. A further one takes the
	// place of the oldest, once it is there whole.
	BackupsKept = 3
)

// Backup is a sealed backup that the cloud has.
type Backup struct {
	ID    string    `json:"id"` // DIGEST
	Bytes int64     `json:"bytes"`
	At    time.Time `json:"at"` // when it came, by the cloud's clock
}

// Backups are those of one box.
type Backups struct {
	Backups []Backup `json:"backups"`
}

// CheckBackupID tells whether id is a DIGEST.
func CheckBackupID(id string) error {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != 32 || hex.EncodeToString(raw) != id {
		return fmt.Errorf("backup id: got %.80q, want 64 hex digits in lower case", id)
	}
	return nil
}

// ParseBackup reads the answer to a PUT and checks its form.
func ParseBackup(data []byte) (b Backup, err error) {
	if err = parseDocument(data, &b); err == nil {
		err = b.check()
	}
	return b, err
}

// ParseBackups reads the list and checks its form.
func ParseBackups(data []byte) ([]Backup, error) {
	var list Backups
	if err := bounded("document", len(data), 0, MaxEnrolBytes); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	if len(list.Backups) > BackupsKept {
		return nil, fmt.Errorf("backups: got %d, want at most %d", len(list.Backups), BackupsKept)
	}
	for _, b := range list.Backups {
		if err := b.check(); err != nil {
			return nil, err
		}
	}
	return list.Backups, nil
}

func (b Backup) check() error {
	if b.Bytes < 0 || b.Bytes > MaxBackupBytes {
		return fmt.Errorf("backup: got %d bytes, want at most %d", b.Bytes, int64(MaxBackupBytes))
	}
	return CheckBackupID(b.ID)
}
