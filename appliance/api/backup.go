package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"signalbox/internal/jsonapi"
)

// backupTimeout is for a slow line; the copy is abandoned when the caller leaves.
const backupTimeout = 10 * time.Minute

// getBackup streams a copy of the store. The file grows while the copy is under
// way and the box writes, so there is one at a time.
func (a *API) getBackup(c *call) error {
	if a.cfg.Archive == nil {
		return jsonapi.Refuse(http.StatusServiceUnavailable, "unavailable", "this box has no store to copy")
	}
	if !a.copying.CompareAndSwap(false, true) {
		return jsonapi.Later(http.StatusServiceUnavailable, "busy", 10*time.Second, "another backup is being copied; try again when it is done")
	}
	defer a.copying.Store(false)
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(backupTimeout))
	ctx, cancel := context.WithTimeout(c.r.Context(), backupTimeout)
	defer cancel()
	begun := false
	err := a.cfg.Archive.Copy(ctx, func(bytes int64) io.Writer {
		begun = true
		header := c.w.Header()
		header.Set("Content-Type", "application/octet-stream")
		header.Set("Content-Length", strconv.FormatInt(bytes, 10))
		header.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="signalbox-%s-%s.db"`, a.cfg.BoxID, time.Now().UTC().Format("20060102T150405Z")))
		header.Set("Cache-Control", "no-store")
		return c.w
	})
	if err != nil && begun {
		a.log.Warn("backup broken off", "err", err) // the caller sees that bytes are missing
		return nil
	}
	return err
}
