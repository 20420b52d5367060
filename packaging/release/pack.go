package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// pack makes packages of what is staged. The packer has a module of its own,
// so that what it needs stays out of ours.
func (r *release) pack(ctx context.Context, chosen []target, formats []string) error {
	packer := filepath.Join(r.stage, "pack")
	if _, err := goCommand(ctx, filepath.Join(r.root, "packaging/tools"), "build", "-o", packer, "./pack"); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, packer, append([]string{
		"-recipe", "packaging/nfpm.yaml", "-version", r.version, "-stage", r.stage, "-out", r.out, "-formats", strings.Join(formats, ","),
	}, names(chosen)...)...)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(r.when.Unix(), 10))
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pack: %w\n%s", err, text)
	}
	return nil
}
