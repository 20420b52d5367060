package main

import (
	"fmt"
	"runtime"
)

type versionCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *versionCommand) Run(p *program) error {
	if c.JSON {
		return printJSON(p.stdout, struct {
			Version string `json:"version"`
			Go      string `json:"go"`
			OS      string `json:"os"`
			Arch    string `json:"arch"`
		}{p.version, runtime.Version(), runtime.GOOS, runtime.GOARCH})
	}
	_, err := fmt.Fprintf(p.stdout, "signalbox %s %s/%s %s\n", p.version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}
