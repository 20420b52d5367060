package main

import (
	"errors"
	"fmt"
	"io"

	"signalbox/appliance/config"
)

// checkCommand takes the flags of serve, so that a whole command line can be checked.
type checkCommand struct {
	serveFlags
	Print  bool `help:"Print the configuration in force as TOML, with where each value came from." xor:"what"`
	Sample bool `help:"Print a commented file with every key there is." xor:"what"`
	JSON   bool `name:"json" help:"Print problems, and with --print values, as JSON."`
}

func (c *checkCommand) Run(p *program) error {
	if c.Sample {
		_, err := io.WriteString(p.stdout, config.Sample())
		return err
	}
	loaded, err := config.Load(c.sources(p))
	problems, isProblem := errors.AsType[config.Problems](err)
	if err != nil && !isProblem {
		return err
	}
	if c.JSON {
		return c.json(p, loaded, problems)
	}
	if c.Print {
		fmt.Fprintf(p.stdout, "# The configuration of signalbox %s in force, and where each value came from.\n", p.version)
		if printErr := loaded.WriteTOML(p.stdout); printErr != nil {
			return printErr
		}
	}
	return err
}

func (c *checkCommand) json(p *program, loaded *config.Loaded, problems config.Problems) error {
	result := struct {
		OK       bool             `json:"ok"`
		Problems config.Problems  `json:"problems"`
		Values   []config.Setting `json:"values,omitempty"`
	}{OK: len(problems) == 0, Problems: problems}
	if problems == nil {
		result.Problems = config.Problems{}
	}
	if c.Print {
		result.Values = loaded.Settings()
	}
	if err := printJSON(p.stdout, result); err != nil {
		return err
	}
	if !result.OK {
		return errReported
	}
	return nil
}
