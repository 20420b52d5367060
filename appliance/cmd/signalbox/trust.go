package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"

	"signalbox/appliance/control"
	"signalbox/appliance/offline"
)

type trustCommand struct {
	boxFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints the certificate on standard output, so that it can be sent into a
// file, and its fingerprint for people beside it.
func (c *trustCommand) Run(p *program) error {
	certificate, err := c.certificate(p)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(certificate)
	if block == nil {
		return errors.New("the box's certificate is not PEM")
	}
	sum := sha256.Sum256(block.Bytes)
	fingerprint := hex.EncodeToString(sum[:])
	if c.JSON {
		return printJSON(p.stdout, struct {
			Fingerprint string `json:"fingerprint"` // SHA-256 in hex
			Certificate string `json:"certificate"` // PEM
		}{fingerprint, string(certificate)})
	}
	fmt.Fprintf(p.stderr, "SHA-256 fingerprint: %s\n", fingerprint)
	_, err = p.stdout.Write(certificate)
	return err
}

func (c *trustCommand) certificate(p *program) ([]byte, error) {
	dir, load, err := c.locate(p)
	if err != nil {
		return nil, err
	}
	box, err := dialBox(p.ctx, dir)
	if err == nil {
		certificate, err := box.send(p.ctx, http.MethodGet, "/trust/ca.crt", nil)
		return certificate, errors.Join(err, box.close())
	}
	if !errors.Is(err, control.ErrStopped) {
		return nil, err
	}
	cfg, err := load()
	if err != nil {
		return nil, err
	}
	if err := becomeOwner(cfg.Data); err != nil {
		return nil, err
	}
	stopped, err := offline.Open(p.ctx, cfg)
	if err != nil {
		return nil, err
	}
	certificate, err := stopped.RootPEM()
	return certificate, errors.Join(err, stopped.Close())
}
