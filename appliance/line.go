package appliance

import (
	"fmt"
	"strings"
)

// Line is how the box is doing, in one line: what `systemctl status` shows. What
// the machine's console shows is brought up to date on the way.
func (a *Appliance) Line() string {
	a.refreshConsole()
	st := a.signaling.Stats()
	line := fmt.Sprintf("%s: %s, %s, %s", a.cfg.Site.Name,
		counted(st.Sessions, "session"), counted(st.Rooms, "room"), counted(a.relay.Stats().Allocations, "allocation"))
	var notes []string
	for _, part := range (box{a}).Parts() {
		if !part.OK && part.Name != "discovery" { // no multicast is the network's affair
			notes = append(notes, part.Name+": "+part.Reason)
		}
	}
	if restart := a.reload.status().Restart; len(restart) > 0 {
		notes = append(notes, "new values wait for a restart: "+strings.Join(restart, ", "))
	}
	if len(notes) > 0 {
		line += "; " + strings.Join(notes, "; ")
	}
	return line
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
