package sealed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// FileName is the file of a data folder that holds its box's code, so that a
// damaged store can be replaced while nobody is there. A backup does not hold it.
const FileName = "recovery-code"

const maxFileBytes = 1 << 10

// ErrNoCode is returned when a data folder has no code.
var ErrNoCode = errors.New("there is no recovery code")

// ReadCode reads the code of a data folder, ErrNoCode if it has none.
func ReadCode(dir string) (Code, error) {
	path := filepath.Join(dir, FileName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Code{}, fmt.Errorf("%w in %s", ErrNoCode, dir)
	}
	if err != nil {
		return Code{}, err
	}
	if info.Size() > maxFileBytes {
		return Code{}, fmt.Errorf("%s has %d bytes, want at most %d", path, info.Size(), maxFileBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Code{}, err
	}
	code, err := ParseCode(string(text))
	if err != nil {
		return Code{}, fmt.Errorf("%s: %w", path, err)
	}
	return code, nil
}

// EnsureCode is the code of a data folder for a box, which is made if there is
// none. One that cannot be read, or is another box's, is kept under another name:
// backups may have been made with it.
func EnsureCode(dir, box string) (Code, error) {
	code, err := ReadCode(dir)
	if err == nil && code.Box() == box {
		return code, nil
	}
	path := filepath.Join(dir, FileName)
	if !errors.Is(err, ErrNoCode) {
		if err := os.Rename(path, path+".old"); err != nil {
			return Code{}, err
		}
	}
	if code, err = NewCode(box); err != nil {
		return Code{}, err
	}
	return code, WriteCode(dir, code)
}

// WriteCode makes code that of a data folder; it is on disk when nil is returned.
func WriteCode(dir string, code Code) (err error) {
	path := filepath.Join(dir, FileName)
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(code.Text() + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
