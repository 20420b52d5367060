package turn

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxUsers bounds [[turn.users]].
const maxUsers = 4096

// User is a static user, for a device that cannot be given new credentials:
// [[turn.users]]. It has exactly one of Password, PasswordFile and Key, and
// stays in until it is revoked or taken out. Printing it hides its secrets.
type User struct {
	Name         string `toml:"name"`
	Password     string `toml:"password" json:"-"`
	PasswordFile string `toml:"password_file"` // one line break at the end does not count
	// Key is the MD5 of NAME:REALM:PASSWORD in hexadecimal, as coturn takes it
	// too, with 0x before it or not: so that no password is written down. It
	// is good for one realm.
	Key string `toml:"hmac_key" json:"-"`
}

const redacted = "[redacted]"

// Format covers every verb, %#v included.
func (u User) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.Name+" "+redacted) }

// LogValue keeps the secrets out of slog.
func (u User) LogValue() slog.Value { return slog.StringValue(u.Name + " " + redacted) }

// key is what the user signs requests with (RFC 8489 §9.2.2).
func (u User) key(realm string) ([]byte, error) {
	switch {
	case u.Key != "":
		return parseKey(u.Key)
	case u.PasswordFile != "":
		text, err := readSecretFile(u.PasswordFile)
		if err != nil {
			return nil, err
		}
		password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if !validPassword(password) {
			return nil, fmt.Errorf("%s: want %s", u.PasswordFile, wantPassword)
		}
		return longTermKey(u.Name, realm, password), nil
	}
	return longTermKey(u.Name, realm, u.Password), nil
}

func parseKey(text string) ([]byte, error) {
	key, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil || len(key) != 16 {
		return nil, errors.New("want " + wantKey)
	}
	return key, nil
}

// userKeys are the keys of all users, by name.
func userKeys(users []User, realm string) (map[string][]byte, error) {
	keys := make(map[string][]byte, len(users))
	var errs []error
	for i, u := range users {
		key, err := u.key(realm)
		if err != nil {
			errs = append(errs, fmt.Errorf("turn.users[%d]: %w", i, err))
		}
		keys[u.Name] = key
	}
	return keys, errors.Join(errs...)
}

const (
	wantName     = "1 to 255 bytes of printable text that do not begin like EXPIRY:SUBJECT, as time-limited usernames do"
	wantPassword = "1 to 255 bytes of printable text on one line"
	wantKey      = "the MD5 of NAME:REALM:PASSWORD in 32 hexadecimal digits"
	wantOneProof = "exactly one of password, password_file and hmac_key"
)

func checkUsers(users []User, fault faultFunc) {
	if len(users) > maxUsers {
		fault("users", fmt.Sprint(len(users), " users"), fmt.Sprintf("at most %d", maxUsers))
	}
	seen := map[string]int{}
	for i, u := range users {
		at := fmt.Sprintf("users[%d].", i)
		if _, _, timed := parseUsername(u.Name); timed || !printable(u.Name) {
			fault(at+"name", u.Name, wantName)
		} else if first, twice := seen[u.Name]; twice {
			fault(at+"name", u.Name, fmt.Sprintf("a name that users[%d] does not have already", first))
		} else {
			seen[u.Name] = i
		}
		u.checkProof(at, fault)
	}
}

func (u User) checkProof(at string, fault faultFunc) {
	given := 0
	for _, text := range []string{u.Password, u.PasswordFile, u.Key} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		fault(at+"password", fmt.Sprint(given, " of them"), wantOneProof)
	}
	if u.Password != "" && !validPassword(u.Password) {
		fault(at+"password", redacted, wantPassword)
	}
	if u.Key != "" {
		if _, err := parseKey(u.Key); err != nil {
			fault(at+"hmac_key", redacted, wantKey)
		}
	}
}

func validPassword(password string) bool { return printable(password) }

// printable says whether text is 1 to 255 bytes of one printable line.
func printable(text string) bool {
	return text != "" && len(text) <= 255 && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}
