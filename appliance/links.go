package appliance

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
)

// callTTL and callRoom are what a link to a test call gives.
const (
	callTTL  = 12 * time.Hour
	callRoom = "test-call"
)

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
	return api.SetupURL(box{a}.BaseURL(), code.Reveal()), nil
}

// CallLinks are links to a test call, one per address of the box. They may be
// opened in any number of browsers, and give access to that room alone.
func (a *Appliance) CallLinks() ([]string, error) {
	token, _, err := a.authority.Issue(auth.Grant{
		Subject: callRoom, Rooms: []string{callRoom}, Rights: auth.DeviceRights, TTL: callTTL,
	})
	if err != nil {
		return nil, fmt.Errorf("make the call link: %w", err)
	}
	var links []string
	for _, base := range a.BaseURLs() {
		links = append(links, base+"/call#token="+url.QueryEscape(token)+"&room="+callRoom)
	}
	return links, nil
}
