package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"signalbox/sync/upstream/identity"
	"signalbox/sync/upstream/sealed"
	"signalbox/sync/wire"
)

// ErrNotKept is returned by FetchBackup when there is no use in asking: the box
// has not joined a site, or has no recovery code.
var ErrNotKept = errors.New("this box has no backups at a cloud")

const (
	// listWait is how long the cloud has to answer at all, over all its addresses:
	// a box starts without it as well.
	listWait = 10 * time.Second
	// maxStateBytes is the most that a backup may hold.
	maxStateBytes = 1 << 30
)

// FetchBackup brings the newest backup that the cloud has of the box in cfg.Dir and
// that opens with code, or with the folder's own if that is the zero value. It lies
// in the folder, for the caller to rename or remove. ctx bounds it; a cloud that
// does not answer, or a box whose certificate has ended and cannot be renewed,
// costs some ten seconds.
func FetchBackup(ctx context.Context, cfg Config, code sealed.Code) (path string, made time.Time, err error) {
	cfg = cfg.withDefaults()
	id, err := cfg.open(cfg.Dir, cfg.CA)
	if errors.Is(err, identity.ErrNone) {
		return "", made, fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	if err != nil {
		return "", made, err
	}
	if code.IsZero() {
		code, err = sealed.ReadCode(cfg.Dir)
		if errors.Is(err, sealed.ErrNoCode) {
			return "", made, fmt.Errorf("%w: %w", ErrNotKept, err)
		}
		if err != nil {
			return "", made, err
		}
	}
	if code.Box() != id.Box().Box {
		return "", made, fmt.Errorf("the recovery code is of box %s, and this one has joined as %s", code.Box(), id.Box().Box)
	}
	f := &fetcher{cfg: cfg, identity: id, code: code}
	v, list, err := f.find(ctx)
	if err != nil {
		return "", made, err
	}
	defer v.close()
	return f.newest(ctx, v, list)
}

// fetcher looks for a backup that opens.
type fetcher struct {
	cfg      Config
	identity Identity
	code     sealed.Code
}

// find asks the cloud's addresses in their order for what there is.
func (f *fetcher) find(ctx context.Context) (*vault, []wire.Backup, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.paced(listWait))
	defer cancel()
	f.renew(ctx)
	d := &dialer{identity: f.identity, proxy: f.cfg.Proxy, meter: newMeter(f.cfg.UplinkRate), sessions: tls.NewLRUClientSessionCache(1)}
	if f.cfg.connect != nil {
		d.meter.connect = f.cfg.connect
	}
	var faults []string
	for _, endpoint := range endpointsOf(f.cfg.URL, f.identity) {
		v := openVault(d, endpoint)
		list, err := v.list(ctx)
		if err == nil {
			return v, list, nil
		}
		v.close()
		faults = append(faults, fmt.Sprintf("%s: %v", endpoint.Host, err))
	}
	return nil, nil, fmt.Errorf("the cloud gives no backup: %s", strings.Join(faults, "; "))
}

// renew makes a certificate that has ended good again, where that can be: a box
// that was off for a month has one. What comes of it shows in the next request.
func (f *fetcher) renew(ctx context.Context) {
	id, ok := f.identity.(*identity.Identity)
	if !ok || id.Now().Before(id.CertEnd()) {
		return
	}
	r := identity.NewRenewer(identity.RenewerConfig{Identity: id, URLs: f.cfg.URL, Version: f.cfg.Version, Proxy: f.cfg.Proxy, Logger: f.cfg.Logger})
	if err := r.Renew(ctx); err != nil {
		f.cfg.Logger.Warn("the certificate for the cloud has ended and could not be renewed", "err", err)
	}
}

// newest brings the newest backup that opens. One that does not is passed over:
// an older state is better than none.
func (f *fetcher) newest(ctx context.Context, v *vault, list []wire.Backup) (path string, made time.Time, err error) {
	if len(list) == 0 {
		return "", made, errors.New("the cloud has no backup of this box")
	}
	var errs []error
	for _, b := range list {
		path, made, err = f.fetch(ctx, v, b)
		if err == nil {
			return path, made, nil
		}
		errs = append(errs, fmt.Errorf("the backup of %s: %w", b.At.UTC().Format("2006-01-02 15:04 UTC"), err))
		if ctx.Err() != nil || !errors.Is(err, sealed.ErrTampered) && !errors.Is(err, sealed.ErrNotSealed) && !errors.Is(err, sealed.ErrWrongCode) {
			break
		}
		f.cfg.Logger.Warn("a backup from the cloud is of no use", "err", err)
	}
	return "", time.Time{}, errors.Join(errs...)
}

// fetch brings one backup into a file and opens it into another.
func (f *fetcher) fetch(ctx context.Context, v *vault, b wire.Backup) (path string, made time.Time, err error) {
	from, err := os.CreateTemp(f.cfg.Dir, tempSealed)
	if err != nil {
		return "", made, err
	}
	defer func() { err = errors.Join(err, from.Close(), os.Remove(from.Name())) }()
	if err := v.get(ctx, b, from); err != nil {
		return "", made, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return "", made, err
	}
	return OpenSealed(f.cfg.Dir, from, f.code)
}

// OpenSealed opens a sealed backup into a new file of a folder, which the caller
// renames or removes. Errors are those of sealed.Open.
func OpenSealed(dir string, from io.Reader, code sealed.Code) (path string, made time.Time, err error) {
	to, err := os.CreateTemp(dir, tempOpened)
	if err != nil {
		return "", made, err
	}
	made, err = sealed.Open(to, from, code, maxStateBytes)
	if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
		return "", made, errors.Join(err, os.Remove(to.Name()))
	}
	return to.Name(), made, nil
}

// endpointsOf are the addresses of the cloud: those of the configuration, or the
// one that the box has joined at.
func endpointsOf(texts []string, id Identity) []*url.URL {
	if len(texts) == 0 {
		texts = []string{id.URL()}
	}
	list := make([]*url.URL, 0, len(texts))
	for _, text := range texts {
		if u, err := url.Parse(text); err == nil { // it was checked when it was written down
			list = append(list, u)
		}
	}
	return list
}
