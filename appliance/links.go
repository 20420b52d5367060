package appliance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
)

// What a link to a test call gives: so many browsers, for so long, one room.
const (
	callRoom = "test-call"
	callTTL  = 12 * time.Hour
	callUses = 100
)

// CallLinks are links to a test call, one per address of the box on which
// browsers give a page the camera: localhost, and HTTPS. Any of them may be
// opened in many browsers; they give access to that room alone.
func (a *Appliance) CallLinks(ctx context.Context) ([]string, error) {
	code, _, err := a.authority.NewInvite(ctx, auth.InviteOptions{
		Grant: auth.Grant{Subject: callRoom + "-*", Rooms: []string{callRoom}, Rights: auth.DeviceRights, TTL: callTTL},
		TTL:   callTTL, Uses: callUses, Note: "test call link printed at start",
	})
	if err != nil {
		return nil, fmt.Errorf("make the call link: %w", err)
	}
	var links []string
	for _, base := range a.BaseURLs() {
		if strings.HasPrefix(base, "https:") || base == "http://localhost" || strings.HasPrefix(base, "http://localhost:") || strings.HasPrefix(base, "http://127.") {
			links = append(links, api.InviteURL(base, code.Reveal(), callRoom))
		}
	}
	return links, nil
}
