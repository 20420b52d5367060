package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"signalbox/appliance/config"
	"signalbox/appliance/control"
	"signalbox/appliance/store"
)

type backupCommand struct {
	boxFlags
	From      string `help:"Address of a box elsewhere, https://HOST. Without it the box of the data folder." placeholder:"URL"`
	TokenFile string `name:"token-file" help:"File with the token of an administrator of that box." placeholder:"FILE"`
	CAFile    string `name:"ca-file" help:"PEM file with that box's certificate of authority, as signalbox trust prints it there." placeholder:"FILE"`
	File      string `arg:"" help:"The copy to write, - for standard output. An older file of that name is replaced once the copy is good. recovery-code prints the code for backups at the cloud instead."`
}

// standardOutput as FILE has the copy go there, unverified.
const standardOutput = "-"

// Run takes the copy from the box and writes it itself: a box that runs as a
// service may write to its own folder alone.
func (c *backupCommand) Run(p *program) error {
	if c.File == recoveryCode {
		return c.printRecoveryCode(p)
	}
	if (c.From == "") != (c.TokenFile == "") || c.From == "" && c.CAFile != "" {
		return usage("--from goes with --token-file, and --ca-file with both")
	}
	if dir, _, err := c.locate(p); err == nil && sameFile(c.File, filepath.Join(dir, "signalbox.db")) {
		return usage("FILE: got %q, which is the database itself; choose another file", c.File)
	}
	if c.File == standardOutput {
		box, err := c.source(p)
		return with(box, err, func(box *client) error { return box.copyTo(p.ctx, "/v1/backup", p.stdout) })
	}
	temp, err := os.CreateTemp(filepath.Dir(c.File), ".backup-*")
	if err != nil {
		return err
	}
	err = c.copy(p, temp)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = store.Verify(temp.Name())
	}
	if err == nil {
		err = os.Rename(temp.Name(), c.File)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	info, err := os.Stat(c.File)
	if err == nil {
		_, err = fmt.Fprintf(p.stderr, "%s: %s, verified\n", c.File, bytesText(info.Size()))
	}
	return err
}

// copy fills the file. Root takes the copy of a stopped box in a process of its
// own: that ends as the owner of the box's folder, who may have no access to
// where the file is to be.
func (c *backupCommand) copy(p *program, temp *os.File) error {
	if os.Geteuid() == 0 && c.From == "" {
		dir, _, err := c.locate(p)
		if err != nil {
			return err
		}
		conn, err := control.Dial(p.ctx, dir)
		if errors.Is(err, control.ErrStopped) {
			return c.copyAsOwner(p, temp)
		}
		if err == nil {
			_ = conn.Close() // it runs; source dials for itself
		}
	}
	box, err := c.source(p)
	return with(box, err, func(box *client) error { return box.copyTo(p.ctx, "/v1/backup", temp) })
}

func (c *backupCommand) copyAsOwner(p *program, temp *os.File) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(p.ctx, program, append(c.arguments("backup"), standardOutput)...)
	var said bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = p.environ, temp, &said
	if err := cmd.Run(); err != nil {
		return errors.Join(errors.New(strings.TrimPrefix(strings.TrimSpace(said.String()), "signalbox: ")), p.ctx.Err())
	}
	return nil
}

func sameFile(x, y string) bool {
	a, errA := os.Stat(x)
	b, errB := os.Stat(y)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// source is the box to copy.
func (c *backupCommand) source(p *program) (*client, error) {
	if c.From == "" {
		return c.either(p)
	}
	token, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return nil, err
	}
	return remoteBox(c.From, strings.TrimSpace(string(token)), c.CAFile)
}

type restoreCommand struct {
	boxFlags
	recoverFlags
	File string `arg:"" optional:"" help:"The backup. It is verified first; what it replaces is kept."`
}

func (c *restoreCommand) Run(p *program) error {
	if err := c.check(c.File); err != nil {
		return err
	}
	loaded, err := config.Load(c.sources(p))
	if err != nil {
		return err
	}
	dir := loaded.Data
	conn, err := control.Dial(p.ctx, dir)
	if err == nil {
		return errors.Join(fmt.Errorf("the box on %s is running; stop it first", dir), conn.Close())
	}
	if c.FromCloud {
		return c.recoverFrom(p, loaded.Config)
	}
	if isSealed(c.File) {
		return c.openSealed(p, dir)
	}
	file, err := c.within(dir)
	if err != nil {
		return err
	}
	err = store.Restore(dir, file)
	if file != c.File {
		err = errors.Join(err, os.Remove(file))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stderr, "%s is restored from %s; what it replaces is in %s\n",
		dir, c.File, filepath.Join(dir, "kept"))
	return err
}

// within is the backup where the folder's owner can read it. Root may have it
// where nobody else can: then it is a copy in the folder, to be removed, and the
// process has become the owner.
func (c *restoreCommand) within(dir string) (path string, err error) {
	source, err := os.Open(c.File)
	if err != nil {
		return "", err
	}
	defer source.Close()
	if err := becomeOwner(dir); err != nil || os.Geteuid() == 0 {
		return c.File, err
	}
	if readable, err := os.Open(c.File); err == nil {
		return c.File, readable.Close()
	}
	temp, err := os.CreateTemp(dir, ".new-restore-*.db") // what a crash leaves of it goes with the next start
	if err != nil {
		return "", err
	}
	if _, err = io.Copy(temp, source); err != nil {
		return "", errors.Join(err, temp.Close(), os.Remove(temp.Name()))
	}
	return temp.Name(), temp.Close()
}
