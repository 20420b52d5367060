package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// consoleCommand is what signalbox-console.service runs, as root, when the file
// that the box has for the console changes. The login program reads as root
// what it is pointed to, so it is not pointed to a folder that the service owns.
type consoleCommand struct {
	From   string   `default:"/run/signalbox/setup.issue" help:"What the box has written."`
	To     string   `default:"/run/signalbox-console/setup.issue" help:"What the login program reads."`
	Reload []string `default:"/sbin/agetty,--reload" help:"Has the login program look again."`
}

// maxIssueBytes is several times the link with its QR code.
const maxIssueBytes = 16 << 10

func (c *consoleCommand) Run(p *program) error {
	text, err := readIssue(c.From)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the console shows nothing: %w", err)
	} else {
		err = nil
	}
	changed, showErr := show(c.To, text)
	if err = errors.Join(err, showErr); err != nil || !changed || len(c.Reload) == 0 {
		return err
	}
	// A machine may do without that program; it looks again by itself at the next login.
	_ = exec.CommandContext(p.ctx, c.Reload[0], c.Reload[1:]...).Run()
	return nil
}

// readIssue reads a file that somebody else may have made anything of.
func readIssue(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || ok && owner.Nlink != 1 {
		return "", fmt.Errorf("%s is not a file of its own", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxIssueBytes+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxIssueBytes {
		return "", fmt.Errorf("%s has more than %d KiB", path, maxIssueBytes>>10)
	}
	return printable(string(text)), nil
}

// printable leaves nothing that a terminal or agetty(8) acts upon: a backslash
// stands for something there unless it is doubled.
func printable(text string) string {
	text = strings.ReplaceAll(text, `\`, "")
	return strings.Map(func(r rune) rune {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0) {
			return -1
		}
		return r
	}, text)
}

// show replaces what the console shows; nothing leaves no trace of it.
func show(path, text string) (changed bool, err error) {
	if text == "" {
		err := os.Remove(path)
		_ = os.Remove(filepath.Dir(path)) // what else lies there is not ours
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return false, err
	}
	return true, os.Rename(path+".new", path)
}
