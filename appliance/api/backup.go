package api

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"signalbox/internal/jsonapi"
)

// backupTimeout is for a slow disk; the copy is abandoned when the caller leaves.
const backupTimeout = 10 * time.Minute

func (a *API) backup(c *call, in *BackupCreate) (Backup, error) {
	if a.cfg.Archive == nil {
		return Backup{}, jsonapi.Refuse(http.StatusServiceUnavailable, "unavailable", "this box has no store to copy")
	}
	if !filepath.IsAbs(in.Path) || strings.ContainsRune(in.Path, 0) {
		return Backup{}, jsonapi.Wrong("path", "path is %q; want an absolute path on the box, like /var/backups/signalbox.db", in.Path)
	}
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(backupTimeout))
	ctx, cancel := context.WithTimeout(c.r.Context(), backupTimeout)
	defer cancel()
	if err := a.cfg.Archive.Backup(ctx, in.Path); err != nil {
		// The caller is on the box and may know what is wrong with the disk.
		return Backup{}, jsonapi.Refuse(http.StatusConflict, "backup_failed", "%v", err)
	}
	info, err := os.Stat(in.Path)
	if err != nil {
		return Backup{}, fmt.Errorf("look at backup: %w", err)
	}
	return Backup{Path: in.Path, Bytes: info.Size()}, nil
}
