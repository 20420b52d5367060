package auth

import (
	"strings"
	"testing"
)

func TestCode(t *testing.T) {
	c := code{0: 1, 1: 2, 15: 0xff}
	text := c.text().Reveal()
	if groups := strings.Split(text, "-"); len(groups) != 7 || len(text) != 7*4+6 {
		t.Errorf("code is %q, want seven groups of four", text)
	}
	for _, typed := range []string{
		text, strings.ToLower(text), strings.ReplaceAll(text, "-", ""), " " + strings.ReplaceAll(text, "-", " ") + " ",
		strings.ReplaceAll(text, "0", "o"), strings.ReplaceAll(text, "0", "O"), strings.ReplaceAll(text, "1", "l"), strings.ReplaceAll(text, "1", "I"),
	} {
		if got, err := parseCode(typed); err != nil || got != c {
			t.Errorf("parseCode(%q) = %x, %v, want %x", typed, got, err, c)
		}
	}
	if first, second := newCode(), newCode(); first == second {
		t.Error("two new codes are the same")
	}
	if c.hash() == (code{}).hash() || len(c.hash()) != 64 {
		t.Errorf("hash is %q", c.hash())
	}
}

// TestCodeCatchesSlips: one wrong character in any place is noticed before
// anybody is asked, up to the one chance in 4096 that the check leaves.
func TestCodeCatchesSlips(t *testing.T) {
	text := code{3: 0x42}.text().Reveal()
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	slips, missed := 0, 0
	for at, was := range []byte(text) {
		for _, is := range []byte(alphabet) {
			if was == '-' || was == is {
				continue
			}
			slips++
			if _, err := parseCode(text[:at] + string(is) + text[at+1:]); err == nil {
				missed++
			}
		}
	}
	if missed > 3 {
		t.Errorf("%d of %d slips were not noticed", missed, slips)
	}
}

func TestParseCodeSaysWhatIsWrong(t *testing.T) {
	good := code{}.text().Reveal()
	for text, want := range map[string]string{
		"":                                 "has 0 characters, want 28",
		good[:20]:                          "has 16 characters, want 28",
		good + "0":                         "has 29 characters, want 28",
		strings.Replace(good, "0", "U", 1): "holds 'U'",
		strings.Replace(good, "0", "ß", 1): "holds 'ß'",
		strings.Repeat("0", 28):            "is mistyped",
		strings.Repeat("0", 129):           "has 129 bytes",
	} {
		if _, err := ParseCode(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCode(%q): %v, want it to say %q", text, err, want)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add("")
	f.Add(code{}.text().Reveal())
	f.Add(strings.ToLower(code{5: 9}.text().Reveal()))
	f.Add("oooo iiii llll uuuu")
	f.Add("ſ\u212a") // letters that upper-case into ASCII
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCode(text)
		if err != nil {
			return
		}
		if again, err := parseCode(c.text().Reveal()); err != nil || again != c {
			t.Errorf("%q parses as %x, and that printed as %x, %v", text, c, again, err)
		}
	})
}
