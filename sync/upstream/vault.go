package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"signalbox/sync/wire"
)

// vault is the place of sealed backups at one address of the cloud.
type vault struct {
	dialer *dialer
	client *http.Client
	base   *url.URL
}

const (
	// continueWait is how long the cloud has to say whether it wants a body. Where
	// something on the way swallows the question, the body is sent all the same.
	continueWait = 10 * time.Second
	// answerWait is for an answer after a body: the cloud has it on disk by then.
	answerWait = 2 * time.Minute
	// sliceBytes is what is sent at once under a cap: frames get their turn between.
	sliceBytes = 16 << 10
)

func openVault(d *dialer, endpoint *url.URL) *vault {
	client := d.client()
	if t, ok := client.Transport.(*http.Transport); ok {
		t.ExpectContinueTimeout, t.ResponseHeaderTimeout = continueWait, answerWait
	}
	return &vault{dialer: d, client: client, base: &url.URL{Scheme: endpoint.Scheme, Host: endpoint.Host, Path: wire.BackupPath}}
}

func (v *vault) close() { v.client.CloseIdleConnections() }

// at is the address of a backup.
func (v *vault) at(id string) *url.URL { return v.base.JoinPath(id) }

// list is what the cloud has, newest first.
func (v *vault) list(ctx context.Context) ([]wire.Backup, error) {
	answer, proof, err := v.exchange(ctx, http.MethodGet, v.base, nil, 0)
	if err != nil {
		return nil, err
	}
	got, err := v.read(answer, proof)
	if err != nil {
		return nil, err
	}
	list, err := wire.ParseBackups(got)
	if err != nil {
		return nil, fmt.Errorf("list of backups from the cloud: %w", err)
	}
	return list, nil
}

// put has the cloud keep what body gives, of some bytes and with that digest.
func (v *vault) put(ctx context.Context, id string, bytes int64, body io.Reader) (wire.Backup, error) {
	answer, proof, err := v.exchange(ctx, http.MethodPut, v.at(id), body, bytes)
	if err != nil {
		return wire.Backup{}, err
	}
	got, err := v.read(answer, proof)
	if err != nil {
		return wire.Backup{}, err
	}
	kept, err := wire.ParseBackup(got)
	if err == nil && (kept.ID != id || kept.Bytes != bytes) {
		err = errors.New("it has kept another one")
	}
	if err != nil {
		return wire.Backup{}, fmt.Errorf("answer of the cloud to a backup: %w", err)
	}
	return kept, nil
}

// get writes one of the backups. What is written is good only when it returns nil.
func (v *vault) get(ctx context.Context, b wire.Backup, out io.Writer) error {
	answer, proof, err := v.exchange(ctx, http.MethodGet, v.at(b.ID), nil, 0)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return v.refused(answer)
	}
	if err := v.dialer.verify(proof, &reply{header: answer.Header}); err != nil {
		return err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, hash), io.LimitReader(answer.Body, b.Bytes+1))
	switch {
	case err != nil:
		return v.dialer.fault(err)
	case n != b.Bytes || hex.EncodeToString(hash.Sum(nil)) != b.ID:
		return errChanged
	}
	return nil
}

// errChanged is returned for a backup that came otherwise than the cloud has it.
var errChanged = errors.New("the backup was changed on its way from the cloud")

// read takes the document out of an answer that must be the cloud's.
func (v *vault) read(answer *http.Response, proof *wire.Proof) ([]byte, error) {
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		return nil, v.refused(answer)
	}
	got, err := readReply(answer)
	if err != nil {
		return nil, v.dialer.fault(err)
	}
	if err := v.dialer.verify(proof, got); err != nil {
		return nil, err
	}
	return got.body, nil
}

func (v *vault) refused(answer *http.Response) error {
	got, err := readReply(answer)
	if err != nil {
		return v.dialer.fault(err)
	}
	return refusedBy(got)
}

// exchange makes a request that shows who the box is: the proof covers method
// and address, and so the digest in it. The caller closes the answer's body.
func (v *vault) exchange(ctx context.Context, method string, target *url.URL, body io.Reader, bytes int64) (*http.Response, *wire.Proof, error) {
	asked, err := v.send(ctx, method, target, nil, 0, "")
	if err != nil {
		return nil, nil, err
	}
	challenge, err := readReply(asked)
	if err != nil {
		return nil, nil, v.dialer.fault(err)
	}
	proof, err := v.dialer.answerChallenge(challenge, method, target, nil)
	if err != nil {
		return nil, nil, err
	}
	answer, err := v.send(ctx, method, target, body, bytes, proof.Header())
	return answer, proof, err
}

func (v *vault) send(ctx context.Context, method string, target *url.URL, body io.Reader, bytes int64, proof string) (*http.Response, error) {
	if body != nil {
		body = &paced{ctx, body, v.dialer.meter.bucket}
	}
	r, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.ContentLength = bytes
		r.Header.Set("Expect", "100-continue")
		r.Header.Set("Content-Type", "application/octet-stream")
	}
	if proof != "" {
		r.Header.Set("Authorization", proof)
	}
	answer, err := v.client.Do(r)
	if err != nil {
		return nil, v.dialer.fault(err)
	}
	return answer, nil
}

// paced is a body that keeps to the cap of the link: it waits for credit before
// each slice, as the batches of frames do, so neither holds the other up.
type paced struct {
	ctx    context.Context // of the one request whose body it is
	in     io.Reader
	bucket *bucket
}

func (p *paced) Read(b []byte) (int, error) {
	if err := p.bucket.wait(p.ctx); err != nil {
		return 0, err
	}
	return p.in.Read(b[:min(len(b), max(p.bucket.most(sliceBytes), 1))])
}
