package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const boxID = "abcdefg234"

var made = time.UnixMilli(1_770_000_000_123)

func code(t testing.TB) Code {
	t.Helper()
	c, err := NewCode(boxID)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func seal(t testing.TB, c Code, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Seal(&out, bytes.NewReader(content), c, made); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	for i, rng := 0, rand.New(rand.NewPCG(1, 2)); i < n; i++ {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestSealAndOpen(t *testing.T) {
	c := code(t)
	sizes := []int{0, 1, 1000, 3 * chunkBytes, 1 << 20}
	for n := chunkBytes - 40; n < chunkBytes+20; n += 3 { // every way the last chunk can end
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		content := noise(n)
		file := seal(t, c, content)
		if (len(file)-headBytes)%sealedBytes != 0 {
			t.Errorf("%d bytes make %d, want whole chunks", n, len(file))
		}
		var out bytes.Buffer
		at, err := Open(&out, bytes.NewReader(file), c, int64(n))
		if err != nil || !bytes.Equal(out.Bytes(), content) || !at.Equal(made) {
			t.Errorf("%d bytes come back as %d of %v, %v", n, out.Len(), at, err)
		}
	}
}

// TestSizeTellsLittle wants equal sizes of contents that differ a little.
func TestSizeTellsLittle(t *testing.T) {
	c := code(t)
	if a, b := len(seal(t, c, noise(10))), len(seal(t, c, noise(60_000))); a != b || a != headBytes+sealedBytes {
		t.Errorf("sizes %d and %d, want both one chunk", a, b)
	}
	if bytes.Equal(seal(t, c, nil), seal(t, c, nil)) {
		t.Error("two sealed backups of one content are equal, want nothing to be told by comparing")
	}
}

func TestOpenRefuses(t *testing.T) {
	c, content := code(t), noise(5*chunkBytes)
	file := seal(t, c, content)
	chunk := func(i int) []byte { return file[headBytes+i*sealedBytes : headBytes+(i+1)*sealedBytes] }
	flip := func(at int) []byte {
		b := bytes.Clone(file)
		b[at] ^= 1
		return b
	}
	head := file[:headBytes]
	twin := c
	twin.secret[0] ^= 1
	elsewhere := c
	elsewhere.box = "bbcdefg234"
	for name, x := range map[string]struct {
		file []byte
		code Code
		want error
	}{
		"nothing":             {nil, c, ErrNotSealed},
		"another file":        {[]byte(strings.Repeat("not sealed ", 100)), c, ErrNotSealed},
		"half a header":       {file[:20], c, ErrNotSealed},
		"code of another":     {file, code(t), ErrWrongCode},
		"one bit of the code": {file, twin, ErrWrongCode},
		"another box":         {file, elsewhere, ErrWrongCode},
		"header alone":        {head, c, ErrTampered},
		"salt changed":        {flip(headBytes - 1), c, ErrTampered},
		"first chunk changed": {flip(headBytes), c, ErrTampered},
		"last byte changed":   {flip(len(file) - 1), c, ErrTampered},
		"cut between chunks":  {file[:headBytes+2*sealedBytes], c, ErrTampered},
		"cut within a chunk":  {file[:len(file)-1], c, ErrTampered},
		"something after it":  {append(bytes.Clone(file), 0), c, ErrTampered},
		"last chunk twice":    {append(bytes.Clone(file), file[len(file)-sealedBytes:]...), c, ErrTampered},
		"chunks swapped":      {bytes.Join([][]byte{head, chunk(1), chunk(0), file[headBytes+2*sealedBytes:]}, nil), c, ErrTampered},
	} {
		if _, err := Open(io.Discard, bytes.NewReader(x.file), x.code, 1<<30); !errors.Is(err, x.want) {
			t.Errorf("%s: got %v, want %v", name, err, x.want)
		}
	}
	if _, err := Open(io.Discard, bytes.NewReader(file), c, int64(len(content))-1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("with less room than it takes: %v, want ErrTooLarge", err)
	}
	full := errors.New("disk full")
	if _, err := Open(failing{full}, bytes.NewReader(file), c, 1<<30); !errors.Is(err, full) {
		t.Errorf("on a full disk: %v, want %v", err, full)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestCode(t *testing.T) {
	c := code(t)
	text := c.Text()
	if len(text) != 47 || c.Box() != boxID {
		t.Errorf("code %q of %s, want eight groups of five for %s", text, c.Box(), boxID)
	}
	for _, typed := range []string{text, strings.ToLower(text), strings.ReplaceAll(text, "-", " "), " " + strings.ReplaceAll(text, "0", "O") + "\n", strings.ReplaceAll(text, "1", "l")} {
		if got, err := ParseCode(typed); err != nil || !got.Equal(c) {
			t.Errorf("typed %q: %v", typed, err)
		}
	}
	if printed := fmt.Sprintf("%v %s %+v %#v", c, c, c, c); strings.Contains(printed, text) || !strings.Contains(printed, "redacted") {
		t.Errorf("printed as %q", printed)
	}
	wrong := []string{"", "ABC", text + "0", strings.Repeat("0", 40), "U" + text[1:], strings.Repeat("-", 500)}
	for i := range text { // one slip anywhere
		slip := []byte(text)
		if slip[i] = 'A'; text[i] == 'A' {
			slip[i] = 'B'
		}
		if text[i] != '-' {
			wrong = append(wrong, string(slip))
		}
	}
	taken := 0
	for _, typed := range wrong {
		got, err := ParseCode(typed)
		if err == nil {
			taken++ // one slip in 65,536 passes the check
			if got.Equal(c) {
				t.Errorf("typed %q and it is the same code", typed)
			}
		}
	}
	if taken > 1 {
		t.Errorf("%d mistyped codes were taken", taken)
	}
	for _, box := range []string{"", "short", "abcdefg23x1", "ABCDEFG234", "abcdefg189"} {
		if _, err := NewCode(box); err == nil {
			t.Errorf("a code for box %q", box)
		}
	}
}

func TestCodeFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadCode(dir); !errors.Is(err, ErrNoCode) {
		t.Errorf("read: %v, want ErrNoCode", err)
	}
	c, err := EnsureCode(dir, boxID)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := EnsureCode(dir, boxID); err != nil || !again.Equal(c) {
		t.Errorf("the second time: %v, want the same code", err)
	}
	path := filepath.Join(dir, FileName)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file %v, %v; want it for its owner alone", info, err)
	}
	other, err := EnsureCode(dir, "bbcdefg234")
	if err != nil || other.Equal(c) || other.Box() != "bbcdefg234" {
		t.Errorf("for another box: %v", err)
	}
	old, err := os.ReadFile(path + ".old")
	if got, parseErr := ParseCode(string(old)); err != nil || parseErr != nil || !got.Equal(c) {
		t.Errorf("the code of before is not kept: %v, %v", err, parseErr)
	}
	for _, broken := range []string{"", "nonsense\n", strings.Repeat("0", 4096)} {
		if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadCode(dir); err == nil || errors.Is(err, ErrNoCode) {
			t.Errorf("%d bytes that are no code: %v", len(broken), err)
		}
		if _, err := EnsureCode(dir, boxID); err != nil {
			t.Errorf("a new one in place of it: %v", err)
		}
	}
}

// FuzzOpen gives the decoder anything, also behind a header that is good.
func FuzzOpen(f *testing.F) {
	c, err := ParseCode(pinnedCode)
	if err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(pinned)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte("content"))
	f.Add(good[:headBytes], []byte{})
	f.Add(good[:len(good)-1], bytes.Repeat([]byte{0}, 300))
	f.Add([]byte(magic), noise(chunkBytes))
	f.Fuzz(func(t *testing.T, file, content []byte) {
		var out bytes.Buffer
		if _, err := Open(&out, bytes.NewReader(file), c, 1<<20); err == nil && !bytes.Equal(file, good) {
			t.Errorf("%d bytes that nobody has sealed were opened", len(file))
		}
		if out.Len() > 1<<20 {
			t.Errorf("%d bytes written, want at most 1 MiB", out.Len())
		}
		out.Reset()
		if _, err := Open(&out, bytes.NewReader(seal(t, c, content)), c, int64(len(content))); err != nil || !bytes.Equal(out.Bytes(), content) {
			t.Errorf("%d bytes come back as %d, %v", len(content), out.Len(), err)
		}
	})
}

// FuzzParseCode wants that what parses is what Text writes.
func FuzzParseCode(f *testing.F) {
	f.Add(pinnedCode)
	f.Add(strings.ToLower(pinnedCode) + " ")
	f.Add("00000-00000")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCode(text)
		if err != nil {
			return
		}
		if again, err := ParseCode(c.Text()); err != nil || !again.Equal(c) {
			t.Errorf("ParseCode(Text) of %q: %v", text, err)
		}
	})
}

// pinned is a backup that an earlier version has sealed, and its code.
const pinned, pinnedCode = "testdata/pinned.sealed", "000H1-J2KDD-Y0008-20C20-A1G71-04GM2-RC1M7-0ZYDQ"

// TestPinned opens what is out there already.
func TestPinned(t *testing.T) {
	file, err := os.ReadFile(pinned)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCode(pinnedCode)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	at, err := Open(&out, bytes.NewReader(file), c, 100)
	if err != nil || out.String() != "the state of a box" || !at.Equal(made) {
		t.Errorf("got %q of %v, %v", &out, at, err)
	}
}
