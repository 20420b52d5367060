package cloud

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"signalbox/sync/cloud/backups"
	"signalbox/sync/wire"
)

// backupsPath is of the control socket alone: what it gives out is sealed, and
// still nobody's business who only looks at the dashboard.
//
//	GET /v1/backups/SITE          -> backups.Owned, the newest of each box first
//	GET /v1/backups/SITE/BOX      the newest backup of a box
//	GET /v1/backups/SITE/BOX/ID   one of them
const backupsPath = "/v1/backups/"

// serveBackups gives backups to who runs the cloud, for a site without a network.
func (n *Node) serveBackups(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, backupsPath), "/")
	if r.Method != http.MethodGet || len(parts) > 3 {
		http.NotFound(w, r)
		return
	}
	if len(parts) == 1 {
		list, err := n.backups.List(r.Context(), n.cfg.Tenant, parts[0])
		if err != nil {
			backupFault(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(list)
		return
	}
	box, id := wire.BoxID{Tenant: n.cfg.Tenant, Site: parts[0], Box: parts[1]}, ""
	if len(parts) == 3 {
		id = parts[2]
	}
	in, b, err := n.backups.Open(r.Context(), box, id)
	if err != nil {
		backupFault(w, err)
		return
	}
	defer in.Close()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // the socket is this machine's own
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(b.Bytes, 10))
	_, _ = io.Copy(w, in)
}

func backupFault(w http.ResponseWriter, err error) {
	code, status := "backup", http.StatusInternalServerError
	if errors.Is(err, backups.ErrNotThere) {
		code, status = "not_found", http.StatusNotFound
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": err.Error()}})
}

func (c collector) collectBackups(gauge func(*prometheus.Desc, float64, ...string), count func(*prometheus.Desc, uint64, ...string)) {
	st := c.backups.Stats()
	gauge(descBackups, float64(st.Bytes))
	gauge(descBackMost, float64(st.MaxBytes))
	gauge(descBacking, float64(st.Active))
	count(descBackEnds, st.Stored, "stored")
	count(descBackEnds, st.Given, "given")
	count(descBackEnds, st.Broken, "broken")
	count(descBackEnds, st.Removed, "removed")
	count(descBackMove, st.BytesIn, "up")
	count(descBackMove, st.BytesOut, "down")
	for reason, n := range st.Refused {
		count(descBackNo, n, reason)
	}
}
