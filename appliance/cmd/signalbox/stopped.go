package main

import (
	"net/http"

	"signalbox/appliance/config"
	"signalbox/appliance/offline"
)

// openStopped opens the state of the box that cfg describes in this process.
func openStopped(p *program, cfg config.Config) (*client, error) {
	if err := becomeOwner(cfg.Data); err != nil {
		return nil, err
	}
	box, err := offline.Open(p.ctx, withCloud(cfg))
	if err != nil {
		return nil, err
	}
	return &client{http: http.Client{Transport: inProcess{box.Handler()}}, close: box.Close}, nil
}
