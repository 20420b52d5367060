package main

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"signalbox": main, "stubborn": stubborn})
}

// stubborn is asked to stop and does not. It tells how far it is by files.
func stubborn() {
	ctx, _ := untilSignal()
	_ = os.WriteFile("pid", []byte(strconv.Itoa(os.Getpid())), 0o600)
	<-ctx.Done()
	_ = os.WriteFile("asked", nil, 0o600)
	time.Sleep(time.Minute)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// No box of this machine has a say in what the scripts see.
			env.Setenv("SIGNALBOX_CONFIG", "/dev/null")
			env.Setenv("SIGNALBOX_DATA", env.WorkDir+"/data")
			env.Setenv("SIGNALBOX_DISCOVERY_ENABLED", "false")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": await},
	})
}

// await waits until a file is there.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for range 3000 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("%s did not appear within a minute", args[0])
}
