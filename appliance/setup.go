package appliance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
)

// console is the file that the console of the machine shows before a login, as
// long as the box has no administrator and its setup link works.
type console struct {
	mu    sync.Mutex
	path  string // "" without one
	code  string // of the link that was made last
	until time.Time
	shown string // what is in the file
}

// consoleName is the file's name in the folder that goes with the service's run;
// tmpfiles.d links it to where login prompts are put together.
const consoleName = "setup.issue"

// ShowSetup keeps the setup link in a file in dir for the machine's console,
// from the next call of SetupLink on.
func (a *Appliance) ShowSetup(dir string) {
	a.console.mu.Lock()
	defer a.console.mu.Unlock()
	a.console.path = filepath.Join(dir, consoleName)
}

// setupMade notes the link's code and shows it.
func (a *Appliance) setupMade(code string) {
	a.console.mu.Lock()
	a.console.code, a.console.until = code, time.Now().Add(auth.SetupTTL)
	a.console.mu.Unlock()
	a.refreshConsole()
}

// refreshConsole writes what the console shows, when that has changed: addresses
// come and go, and once there is an administrator the link is gone. Whoever
// tells the service manager how the box is calls it.
func (a *Appliance) refreshConsole() {
	a.console.mu.Lock()
	defer a.console.mu.Unlock()
	if a.console.path == "" {
		return
	}
	text := a.consoleText()
	if text == a.console.shown {
		return
	}
	if err := showOnConsole(a.console.path, text); err != nil {
		a.log.Warn("the console does not show how to set the box up", "component", "setup", "err", err)
	}
	a.console.shown = text
}

// consoleText is "" when there is nothing to set up. The caller holds console.mu.
func (a *Appliance) consoleText() string {
	if a.console.code == "" {
		return ""
	}
	if needed, err := a.authority.NeedsSetup(); err != nil || !needed {
		if err == nil {
			a.console.code = "" // for good: nobody has to look again
		}
		return ""
	}
	if time.Now().After(a.console.until) {
		return "\nSignalbox " + a.cfg.Site.Name + " has no administrator yet. Start it again for a new setup link:\n" +
			"  systemctl restart signalbox\n\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nSignalbox %s: set it up, once, until %s\n", a.cfg.Site.Name, a.console.until.Format("15:04"))
	drawn := false
	for _, base := range a.BaseURLs() {
		if !strings.HasPrefix(base, "https:") { // a phone in the hall, and not in the clear
			continue
		}
		link := api.SetupURL(base, a.console.code)
		if picture, err := api.QRText(link, "  "); err == nil && !drawn {
			b.WriteString(picture)
			drawn = true
		}
		fmt.Fprintf(&b, "  %s\n", link)
	}
	if !drawn {
		b.WriteString("  there is no network yet; the link comes with an address\n")
	}
	fmt.Fprintf(&b, "  certificate fingerprint %s\n\n", a.trust.Fingerprint())
	return strings.ReplaceAll(b.String(), `\`, `\\`) // agetty(8) reads what follows a backslash
}

// showOnConsole replaces the file in one step; a login prompt may read it any time.
func showOnConsole(path, text string) error {
	if text == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// clearConsole takes the link away when the box stops.
func (a *Appliance) clearConsole() {
	a.console.mu.Lock()
	defer a.console.mu.Unlock()
	if a.console.path != "" {
		_ = showOnConsole(a.console.path, "") // the service manager empties the folder as well
	}
}

// SetupLink is the one-time link that makes the first administrator, a fresh
// one at each call; "" when the box has an administrator.
func (a *Appliance) SetupLink(ctx context.Context) (string, error) {
	needed, err := a.authority.NeedsSetup()
	if err != nil || !needed {
		return "", err
	}
	code, _, err := a.authority.NewSetup(ctx)
	if err != nil {
		return "", fmt.Errorf("make the setup link: %w", err)
	}
	a.setupMade(code.Reveal())
	return api.SetupURL(box{a}.BaseURL(), code.Reveal()), nil
}
