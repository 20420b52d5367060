package main

import (
	"errors"

	"signalbox/appliance/config"
	"signalbox/appliance/control"
)

// running connects to the box, which must run.
func (f boxFlags) running(p *program) (*client, error) {
	dir, _, err := f.locate(p)
	if err != nil {
		return nil, err
	}
	return dialBox(p.ctx, dir)
}

// either connects to the box if it runs, and else opens its state.
func (f boxFlags) either(p *program) (*client, error) {
	dir, load, err := f.locate(p)
	if err != nil {
		return nil, err
	}
	box, err := dialBox(p.ctx, dir)
	if !errors.Is(err, control.ErrStopped) {
		return box, err
	}
	cfg, err := load()
	if err != nil {
		return nil, err
	}
	return openStopped(p, cfg)
}

// locate finds the data folder. A running box has settled the rest of its
// configuration, so what is wrong there now matters only to load.
func (f boxFlags) locate(p *program) (dir string, load func() (config.Config, error), err error) {
	loaded, err := config.Load(f.sources(p))
	load = func() (config.Config, error) {
		cfg := loaded.Config
		cfg.Version = p.version
		return cfg, err
	}
	problems, isProblem := errors.AsType[config.Problems](err)
	if err != nil && !isProblem {
		return "", nil, err
	}
	for _, problem := range problems {
		if problem.Key == "data" || problem.Key == "" {
			return "", nil, problems // the folder is not known for sure
		}
	}
	return loaded.Data, load, nil
}

// with calls use with the box and lets go of it.
func with(box *client, err error, use func(*client) error) (result error) {
	if err != nil {
		return err
	}
	defer func() { result = errors.Join(result, box.close()) }()
	return use(box)
}
