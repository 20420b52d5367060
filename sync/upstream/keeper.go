package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"signalbox/sync/upstream/sealed"
	"signalbox/sync/wire"
)

// Archive is the box's own backups, as the agent sees them.
type Archive interface {
	// NewestBackup opens the newest; fs.ErrNotExist when there is none.
	NewestBackup() (file *os.File, made time.Time, err error)
	// BoxID is the box whose state they are.
	BoxID() string
}

const (
	keepSpread  = 15 * time.Second // the clocks of a fleet that was switched on together
	keepFirst   = time.Minute      // retry: anything up to that, doubled each time
	keepMost    = time.Hour
	keepTimeout = time.Hour // of one attempt
)

// BackupMade tells the agent that the box has made a backup. It never blocks.
func (a *Agent) BackupMade() { poke(a.backedUp) }

// keeper takes the box's newest backup to the cloud, when it is another than the
// one that is there.
type keeper struct {
	*member
	kept   keptBackup
	failed int
}

// keptBackup is what the box remembers of the newest it has brought: a file of
// its own, since the state itself must not change by being copied.
type keptBackup struct {
	Box     string    `json:"box"`     // wire.BoxID
	File    string    `json:"file"`    // its name, and when it was written
	Content string    `json:"content"` // SHA-256 of the backup before it was sealed
	Made    time.Time `json:"made"`
	Bytes   int64     `json:"bytes"` // sealed
	At      time.Time `json:"at"`    // when the cloud had it, by its clock
}

const keptFile = "cloud-backup.json"

// keepBackups brings backups until ctx ends. Nothing waits for it.
func (m *member) keepBackups(ctx context.Context) {
	if !m.cfg.Backup || m.cfg.Archive == nil {
		return
	}
	k := &keeper{member: m, kept: readKept(m.cfg.Dir, m.box)}
	k.tell(nil)
	timer := time.NewTimer(k.spread())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.backedUp:
			timer.Reset(k.spread())
			continue
		case <-timer.C:
		}
		err := k.bring(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errNoWay) {
			continue // a connection is news
		}
		k.tell(err)
		if err == nil {
			k.failed = 0
			continue
		}
		timer.Reset(m.cfg.paced(k.pause(err)))
	}
}

// connected is the address at which there is a way to the cloud, nil for none.
func (k *keeper) connected() *url.URL {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.status.Connected {
		return nil
	}
	u, err := url.Parse(k.status.URL)
	if err != nil {
		return nil
	}
	return u
}

func (k *keeper) spread() time.Duration { return k.cfg.paced(rand.N(keepSpread)) + 1 }

// pause is how long to wait after a failure (full jitter), and not less than the
// cloud asks for.
func (k *keeper) pause(err error) time.Duration {
	wait := rand.N(min(keepFirst<<min(k.failed, 6), keepMost)) + time.Second
	k.failed++
	if p, ok := errors.AsType[*problem](err); ok {
		wait += p.after
	}
	return wait
}

// tell has the status say how it went.
func (k *keeper) tell(err error) {
	k.mu.Lock()
	before := k.status.BackupFault
	k.status.BackupOn, k.status.BackupAt, k.status.BackupBytes, k.status.BackupFault = true, k.kept.At, k.kept.Bytes, ""
	if err != nil {
		k.status.BackupFault = err.Error()
		if before == "" {
			k.status.BackupFaultAt = time.Now()
		}
	}
	k.mu.Unlock()
	if err != nil && err.Error() != before {
		k.log.Warn("no copy of the newest backup at the cloud; trying again", "err", err)
	}
}

var (
	// errNoWay: there is no connection; what is wrong with that is told elsewhere.
	errNoWay = errors.New("there is no connection to the cloud")
	// errOtherBox keeps the backups of a box whose state was lost from being pushed
	// out by those of the new, empty one.
	errOtherBox = errors.New("the state of this box is another than the one that joined, as after a start with an empty store; " +
		"stop it and run signalbox restore --from-cloud, or join it anew with --again")
)

// bring takes the newest backup to the cloud if there is one that it lacks.
func (k *keeper) bring(ctx context.Context) error {
	endpoint := k.connected()
	if endpoint == nil {
		return errNoWay
	}
	file, made, err := k.cfg.Archive.NewestBackup()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	// A box whose clock starts in 1970 may give a name twice.
	name := fmt.Sprintf("%s %d", filepath.Base(file.Name()), info.ModTime().UnixNano())
	if k.kept.File == name {
		return nil
	}
	if k.cfg.Archive.BoxID() != k.box.Box {
		return errOtherBox
	}
	content, err := digestOf(file)
	if err != nil {
		return err
	}
	next := keptBackup{Box: k.box.String(), File: name, Content: content, Made: made}
	if content == k.kept.Content { // nothing has changed
		next.Bytes, next.At = k.kept.Bytes, k.kept.At
		return k.note(next)
	}
	if next.Bytes, next.At, err = k.send(ctx, endpoint, file, made); err != nil {
		return err
	}
	k.log.Info("backup kept at the cloud", "bytes", next.Bytes)
	return k.note(next)
}

func digestOf(file *os.File) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	_, err := file.Seek(0, io.SeekStart)
	return hex.EncodeToString(hash.Sum(nil)), err
}

// send seals a backup into a temporary file, so that its digest is known before
// its first byte leaves, and has the cloud keep it.
func (k *keeper) send(ctx context.Context, endpoint *url.URL, file io.Reader, made time.Time) (int64, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	if _, err := sealed.ReadCode(k.cfg.Dir); errors.Is(err, sealed.ErrNoCode) { // the box joined when there were none
		k.log.Warn("a recovery code is made for backups at the cloud; write down what signalbox backup recovery-code prints")
	}
	code, err := sealed.EnsureCode(k.cfg.Dir, k.box.Box)
	if err != nil {
		return 0, time.Time{}, err
	}
	temp, err := os.CreateTemp(k.cfg.Dir, tempSealed)
	if err != nil {
		return 0, time.Time{}, err
	}
	defer func() { _ = errors.Join(temp.Close(), os.Remove(temp.Name())) }() // what is left goes with the next start
	hash := sha256.New()
	if err := sealed.Seal(io.MultiWriter(temp, hash), file, code, made); err != nil {
		return 0, time.Time{}, err
	}
	bytes, err := temp.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = temp.Seek(0, io.SeekStart)
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	if bytes > wire.MaxBackupBytes {
		return 0, time.Time{}, fmt.Errorf("the backup has %d bytes when it is sealed, and the cloud keeps at most %d; copy it by signalbox backup, or turn upstream.backup off", bytes, int64(wire.MaxBackupBytes))
	}
	v := openVault(k.dialer, endpoint)
	defer v.close()
	kept, err := v.put(ctx, hex.EncodeToString(hash.Sum(nil)), bytes, temp)
	return bytes, kept.At, err
}

// Temporary files in the data folder; the store removes what a crash leaves of
// names that begin so.
const (
	tempSealed = ".new-sealed-*"
	tempOpened = ".new-cloud-*.db"
)

func (k *keeper) note(next keptBackup) error {
	k.kept = next
	content, err := json.Marshal(next)
	if err != nil {
		return err
	}
	// What a power cut leaves of it is read as nothing: the backup is sent once more.
	return os.WriteFile(filepath.Join(k.cfg.Dir, keptFile), append(content, '\n'), 0o600)
}

// readKept is what is remembered for a box, nothing when that is of another.
func readKept(dir string, box wire.BoxID) (k keptBackup) {
	content, err := os.ReadFile(filepath.Join(dir, keptFile))
	if err != nil || json.Unmarshal(content, &k) != nil || k.Box != box.String() {
		return keptBackup{}
	}
	return k
}
