package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"signalbox/appliance"
	"signalbox/appliance/config"
	"signalbox/appliance/store"
	"signalbox/sync/upstream"
	"signalbox/sync/upstream/identity"
	"signalbox/sync/upstream/sealed"
)

// recoveryLabel stands before a recovery code in what people read.
const recoveryLabel = "recovery code"

// recoveryCode is, in place of a file, what `signalbox backup` prints the code for.
const recoveryCode = "recovery-code"

// recoveryAbout says what the code is for, where it is shown.
const recoveryAbout = "write the recovery code down and keep it away from the box: with it, and a new token, a new disk gets this box's state back from the cloud; the cloud itself cannot read it"

// printRecoveryCode shows the code of the box again. It is asked of the folder:
// who can read that has the box's state anyway.
func (c *backupCommand) printRecoveryCode(p *program) error {
	dir, _, err := c.locate(p)
	if err != nil {
		return err
	}
	if err := becomeOwner(dir); err != nil {
		return err
	}
	code, err := sealed.ReadCode(dir)
	if errors.Is(err, sealed.ErrNoCode) {
		return fmt.Errorf("%w; it is made when the box joins a site of a cloud, unless upstream.backup is false", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, code.Text())
	return err
}

// ensureRecovery makes the code of a box that has joined, or finds it. It is none
// when the box brings no backups to the cloud.
func ensureRecovery(cfg config.Config, dir string, joined *identity.Identity) (sealed.Code, error) {
	if !cfg.Upstream.Backup {
		return sealed.Code{}, nil
	}
	return sealed.EnsureCode(dir, joined.Box().Box)
}

// recoverFlags are of restore, for backups that are at the cloud or came from there.
type recoverFlags struct {
	FromCloud bool   `name:"from-cloud" help:"Take the newest backup at the cloud. On a new disk FILE is the cloud's address, and --token and --ca are as the cloud printed them for signalbox join."`
	Code      string `help:"Recovery code of the box; - reads it from standard input. Without it the one in the data folder." placeholder:"XXXXX-…"`
	Token     string `help:"With --from-cloud on a new disk: token that the cloud printed." placeholder:"sbx-…"`
	CA        string `name:"ca" help:"With --from-cloud on a new disk: hash of the cloud's root that it printed." placeholder:"sha256:…"`
	Again     bool   `help:"With --token: also when the folder has joined already."`
}

// check finds flags that do not go together.
func (f recoverFlags) check(file string) error {
	switch {
	case f.FromCloud && (file == "") != (f.Token == ""):
		return usage("--from-cloud: with an address it wants --token and --ca, as the cloud prints them for signalbox join; without one the folder must have joined")
	case f.FromCloud && f.Token != "" && f.Code == "":
		return usage("--code: a new disk has no recovery code; give the one that signalbox join printed for the box")
	case (f.Token == "") != (f.CA == "") || !f.FromCloud && (f.Token != "" || f.Again):
		return usage("--token and --ca go with each other and with --from-cloud")
	case !f.FromCloud && file == "":
		return usage("want FILE, or --from-cloud")
	}
	return nil
}

// code reads --code, the zero value without it.
func (f recoverFlags) code() (sealed.Code, error) {
	text := f.Code
	if text == "" {
		return sealed.Code{}, nil
	}
	if text == "-" {
		typed, err := io.ReadAll(io.LimitReader(os.Stdin, 1<<10))
		if err != nil {
			return sealed.Code{}, err
		}
		text = string(typed)
	}
	code, err := sealed.ParseCode(text)
	if err != nil {
		return sealed.Code{}, usage("--code: %v", err)
	}
	return code, nil
}

// recoverTimeout bounds joining and the transfer of a backup.
const recoverTimeout = time.Hour

// recoverFrom puts the newest backup at the cloud in place of the state in a
// folder. On a new disk the folder joins first, as the box that the code is of.
func (c *restoreCommand) recoverFrom(p *program, cfg config.Config) error {
	code, err := c.code()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return err
	}
	if err := becomeOwner(cfg.Data); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, recoverTimeout)
	defer cancel()
	if c.Token != "" {
		_, err := identity.Join(ctx, identity.JoinOptions{
			Dir: cfg.Data, URL: c.File, Token: c.Token, CA: c.CA, CAFile: cfg.Upstream.CA, Box: code.Box(), Version: p.version, Again: c.Again,
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "joined as box %s\n", code.Box())
	}
	link := cfg.Upstream
	link.Dir, link.Version = cfg.Data, p.version
	file, made, err := upstream.FetchBackup(ctx, link, code)
	if err != nil {
		return err
	}
	return c.putInPlace(p, cfg.Data, file, code, "the cloud's backup of "+made.UTC().Format("2006-01-02 15:04 UTC"))
}

// openSealed puts a sealed file, as the cloud's operator gets it, in place.
func (c *restoreCommand) openSealed(p *program, dir string) error {
	from, err := os.Open(c.File) // while this is root: the owner of the folder may not be able to
	if err != nil {
		return err
	}
	defer from.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := becomeOwner(dir); err != nil {
		return err
	}
	code, err := c.code()
	if err == nil && code.IsZero() {
		code, err = sealed.ReadCode(dir)
	}
	if err != nil {
		return err
	}
	file, made, err := upstream.OpenSealed(dir, from, code)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return c.putInPlace(p, dir, file, code, c.File+", made at "+made.UTC().Format("2006-01-02 15:04 UTC"))
}

// putInPlace restores a file of the folder itself, and keeps the code for next time.
func (c *restoreCommand) putInPlace(p *program, dir, file string, code sealed.Code, what string) error {
	err := errors.Join(store.Restore(dir, file), os.Remove(file))
	if err == nil && !code.IsZero() {
		err = sealed.WriteCode(dir, code)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stderr, "%s is restored from %s; what it replaces, if anything, is in %s\n", dir, what, filepath.Join(dir, "kept"))
	return err
}

// isSealed tells whether a file is a sealed backup.
func isSealed(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	begin := make([]byte, sealed.HeadBytes)
	_, err = io.ReadFull(f, begin)
	return err == nil && sealed.IsSealed(begin)
}

// withCloud has the store of a stopped box look for a backup at the cloud as the
// running box does, should it have to be recovered.
func withCloud(cfg config.Config) config.Config {
	cfg.Store.Fetch = func() (string, time.Time, error) {
		link := cfg.Upstream
		link.Dir, link.Version = cfg.Data, cfg.Version
		return appliance.FetchBackup(link)
	}
	return cfg
}

// cloudBackupText says how the copy at the cloud is, "" when there is none to be.
func cloudBackupText(at *time.Time, bytes int64, fault string) string {
	var parts []string
	if at != nil {
		parts = append(parts, fmt.Sprintf("at the cloud %s ago, %s", since(*at), bytesText(bytes)))
	}
	if fault != "" {
		parts = append(parts, "the newest is not at the cloud: "+fault)
	}
	return cmp.Or(strings.Join(parts, "; "), "not at the cloud yet")
}
