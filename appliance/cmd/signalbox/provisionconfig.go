package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/config"
	"signalbox/appliance/provision"
)

// record is what is remembered about the file that was tried last.
type record struct {
	Sum   string `json:"sum"`
	Begun bool   `json:"begun"` // the box was new, and what it is since is by this file
	Done  bool   `json:"done"`  // nothing is left to do, and the medium could not be written
	// Config is the hash of the configuration that was written from a file: one
	// that nobody has changed since may be replaced.
	Config string `json:"config,omitempty"`
}

const recordName = "provisioned"

// record is empty when there is none that can be read: then a file counts anew,
// on a box that is new.
func (o *provisioning) record() (r record) {
	text, err := os.ReadFile(filepath.Join(o.state, recordName))
	if err != nil || json.Unmarshal(text, &r) != nil {
		return record{}
	}
	return r
}

func (o *provisioning) remember(r record) error {
	if err := os.MkdirAll(o.state, 0o755); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return config.Replace(filepath.Join(o.state, recordName), append(text, '\n'), 0o600)
}

// configure writes the configuration file, once it is known to be good, and has
// the box start with it. When it does not serve then, the file before is back.
func (o *provisioning) configure(ctx context.Context, file provision.File, record *record, s api.Status, said *strings.Builder) (api.Status, error) {
	text, err := file.ConfigText()
	if err != nil {
		return s, err
	}
	before, err := os.ReadFile(o.config)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if string(before) == text {
		return s, nil // by an earlier start
	}
	if mine, err := provision.Untouched(o.config); err != nil || !mine && hashOf(before) != record.Config {
		return s, errors.Join(err, fmt.Errorf("%s has settings already, and [config] was not used", o.config))
	}
	temp := o.config + ".check"
	if err := config.Replace(temp, []byte(text), 0o644); err != nil {
		return s, err
	}
	_, err = config.Load(config.Sources{File: temp, KeyFiles: true})
	if err := errors.Join(err, os.Remove(temp)); err != nil {
		return s, err
	}
	record.Config = hashOf([]byte(text))
	if err := errors.Join(o.remember(*record), config.Replace(o.before(), before, 0o644)); err != nil {
		return s, err
	}
	if err := config.Replace(o.config, []byte(text), 0o644); err != nil {
		return s, err
	}
	s, err = o.try(ctx, o.trial)
	if err != nil {
		return s, errors.Join(fmt.Errorf("[config] is taken back, the box does not serve with it: %w", err), o.back(ctx))
	}
	said.WriteString("the configuration is written\n")
	return s, o.keep()
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// before is the file that lies beside the configuration while that is on trial.
func (o *provisioning) before() string { return o.config + ".before" }

// try has the box start with the configuration as it is.
func (o *provisioning) try(ctx context.Context, within time.Duration) (api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := o.box.restart(ctx); err != nil {
		return api.Status{}, err
	}
	return o.ready(ctx)
}

// keep ends the trial of a configuration that is good.
func (o *provisioning) keep() error {
	return errors.Join(os.Remove(o.before()), config.SyncDir(filepath.Dir(o.config)))
}

// back puts the configuration before in place, also when no time is left.
func (o *provisioning) back(ctx context.Context) error {
	if err := os.Rename(o.before(), o.config); err != nil {
		return fmt.Errorf("put the configuration before back: %w", err)
	}
	if err := config.SyncDir(filepath.Dir(o.config)); err != nil {
		return err
	}
	_, err := o.try(context.WithoutCancel(ctx), backWait)
	return err
}

// settle ends a trial that a power cut has broken off.
func (o *provisioning) settle(ctx context.Context) error {
	if _, err := os.Lstat(o.before()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, o.trial)
	defer cancel()
	if _, err := o.ready(within); err != nil {
		return o.back(ctx)
	}
	return o.keep()
}
