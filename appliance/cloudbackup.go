package appliance

import (
	"context"
	"errors"
	"time"

	"signalbox/sync/upstream"
	"signalbox/sync/upstream/sealed"
)

// fetchTimeout bounds the start of a box that has lost its state and looks for it
// at the cloud. One that does not answer costs ten seconds of it.
const fetchTimeout = 2 * time.Minute

// fetchBackup is the rung of the store's ladder that leads to the cloud.
func (a *Appliance) fetchBackup() (path string, made time.Time, err error) {
	cfg := a.cfg.Upstream
	cfg.Dir, cfg.Version, cfg.Logger = a.cfg.Data, a.cfg.Version, a.part(upstreamPart)
	return FetchBackup(cfg)
}

// FetchBackup is what store.Config.Fetch wants, for the link to the cloud that
// cfg describes: nothing when there is nobody to ask.
func FetchBackup(cfg upstream.Config) (path string, made time.Time, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	path, made, err = upstream.FetchBackup(ctx, cfg, sealed.Code{})
	if errors.Is(err, upstream.ErrNotKept) {
		return "", made, nil
	}
	return path, made, err
}

// backedUp has the agent look for a backup to bring. The store makes none before
// there is an agent.
func (a *Appliance) backedUp() { a.upstream.BackupMade() }

// agingAfter is how long the copy at the cloud may be behind before that counts
// as an ailment of the box: a cloud under repair is nobody's worry.
const agingAfter = 24 * time.Hour

// cloudBackupReason says why there is no new copy at the cloud, "" when all is well.
func (b box) cloudBackupReason(now time.Time) string {
	st := b.upstream.Status()
	if !st.BackupOn || st.BackupFault == "" || now.Sub(st.BackupFaultAt) < agingAfter {
		return ""
	}
	return "the newest backup is not at the cloud: " + st.BackupFault
}
