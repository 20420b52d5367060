package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"signalbox/packaging/minisign"
)

const (
	sumsFile = "SHA256SUMS"
	// publicKeyFile is in the repository once there is a key for releases. Its
	// secret half never is.
	publicKeyFile = "packaging/release.pub"
	// keyVariable has the secret key itself, or the name of a file with it.
	keyVariable = "SIGNALBOX_SIGNING_KEY"
)

// releaseKey is the public key that goes into binaries, on one line.
func releaseKey(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, publicKeyFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	key, err := minisign.ParsePublicKey(string(text))
	if err != nil {
		return "", fmt.Errorf("%s: %w", publicKeyFile, err)
	}
	return key.String(), nil
}

// signingKey is nil when none is set.
func signingKey() (*minisign.SecretKey, error) {
	text := os.Getenv(keyVariable)
	if text == "" {
		return nil, nil
	}
	if !strings.Contains(text, "\n") {
		content, err := os.ReadFile(text)
		if err != nil {
			return nil, fmt.Errorf("%s: it is no key file, and names none: %w", keyVariable, err)
		}
		text = string(content)
	}
	key, err := minisign.ParseSecretKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyVariable, err)
	}
	return &key, nil
}

// newKey makes a key for releases. The secret half is written for its owner
// alone, and never over another.
func newKey(name string) error {
	key := minisign.GenerateKey()
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.WriteString(file, key.File()); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.WriteFile(publicKeyFile, []byte(key.Public().File()), 0o644); err != nil {
		return err
	}
	fmt.Printf("The secret key is in %s: keep it out of the repository. Commit %s.\n", name, publicKeyFile)
	return nil
}

// finish sums up what was made and signs it.
func (r *release) finish() error {
	made, err := filepath.Glob(filepath.Join(r.out, "signalbox*"))
	if err != nil {
		return err
	}
	slices.Sort(made)
	var sums bytes.Buffer
	for _, name := range made {
		sum, size, err := sumOf(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum, filepath.Base(name))
		fmt.Printf("%8.2f MB  %s\n", float64(size)/1e6, filepath.Base(name))
	}
	list := filepath.Join(r.out, sumsFile)
	if err := os.WriteFile(list, sums.Bytes(), 0o644); err != nil {
		return err
	}
	if r.key == nil {
		fmt.Printf("Nothing is signed: %s is not set.\n", keyVariable)
		return nil
	}
	for _, name := range append(made, list) {
		if err := r.sign(name); err != nil {
			return err
		}
	}
	return nil
}

// sign writes FILE.minisig. The comment that it vouches for names file and
// version, so that an old file cannot be passed off as a new one.
func (r *release) sign(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	text, err := r.key.Sign(file, fmt.Sprintf("file:%s version:%s time:%s", filepath.Base(name), r.version, r.when.Format("2006-01-02T15:04:05Z")))
	if err != nil {
		return err
	}
	return os.WriteFile(name+minisign.Suffix, []byte(text), 0o644)
}

// signCommand signs files that somebody made elsewhere.
func signCommand(ctx context.Context, files []string) error {
	r, err := newRelease(ctx, ".")
	if err != nil {
		return err
	}
	if r.key == nil {
		return fmt.Errorf("%s is not set; it is a secret key, or a file with it", keyVariable)
	}
	for _, name := range files {
		if err := r.sign(name); err != nil {
			return err
		}
	}
	return nil
}

func sumOf(name string) (sum []byte, size int64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err = io.Copy(hash, file)
	return hash.Sum(nil), size, err
}
