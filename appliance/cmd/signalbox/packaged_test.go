package main

import (
	"flag"
	"os"
	"testing"

	"signalbox/appliance/config"
	"signalbox/packaging/commandline"
)

var update = flag.Bool("update", false, "write the man pages and completions in packaging anew")

// TestPackagedText keeps what packages say about the commands what the commands
// are; `make generate` writes it.
func TestPackagedText(t *testing.T) {
	for name, want := range map[string]string{
		"man/signalbox.1":            commandline.Man(newGrammar()),
		"man/signalbox.toml.5":       commandline.ConfigMan(config.Sample()),
		"completions/signalbox.bash": commandline.Bash(newGrammar()),
		"completions/signalbox.fish": commandline.Fish(newGrammar()),
		"completions/_signalbox":     commandline.Zsh(newGrammar()),
	} {
		file := "../../../packaging/" + name
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("packaging/%s is not what the commands are now; run make generate", name)
		}
	}
}
