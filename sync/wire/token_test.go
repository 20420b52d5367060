package wire_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"signalbox/sync/wire"
)

func TestJoinToken(t *testing.T) {
	made := wire.NewJoinToken()
	text := made.Text()
	read, err := wire.ParseJoinToken("  " + strings.ToUpper(text) + "\n")
	if err != nil || read != made {
		t.Fatalf("ParseJoinToken(Text) = %v, %v", read, err)
	}
	if !bytes.Equal(read.Key(), made.Key()) || bytes.Equal(made.Key(), wire.NewJoinToken().Key()) {
		t.Error("the key does not follow from the token alone")
	}
	if err := wire.CheckTokenID(made.ID()); err != nil {
		t.Error(err)
	}
	for _, shown := range []string{fmt.Sprint(made), fmt.Sprintf("%+v %#v %x %q", made, made, made, made)} {
		if strings.Contains(shown, text[20:]) {
			t.Errorf("%q shows the secret", shown)
		}
	}
	for i := 4; i < len(text); i++ { // a slip of the finger
		wrong := []byte(text)
		if wrong[i]++; wrong[i] == 'z'+1 || wrong[i] == '8' {
			wrong[i] = 'a'
		}
		if got, err := wire.ParseJoinToken(string(wrong)); err == nil && got.Key() != nil && bytes.Equal(got.Key(), made.Key()) {
			t.Errorf("%q is taken for %q", wrong, text)
		} else if err != nil && strings.Contains(err.Error(), string(wrong)[4:20]) {
			t.Errorf("the error %q repeats the token", err)
		}
	}
}

func FuzzParseJoinToken(f *testing.F) {
	f.Add(wire.NewJoinToken().Text())
	f.Add("sbx-" + strings.Repeat("a", 40))
	f.Add("sbx-")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := wire.ParseJoinToken(text)
		if err != nil {
			return
		}
		if again, err := wire.ParseJoinToken(token.Text()); err != nil || again != token {
			t.Errorf("ParseJoinToken(Text()) = %v, %v, want %v", again, err, token)
		}
	})
}
