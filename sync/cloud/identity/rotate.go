package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// maxOlderRoots bounds how many roots a bundle has beside the one in use: what
// connects them to the issuer travels in every proof.
const maxOlderRoots = 2

// Rotate makes the next root and an issuer below it, while no node runs on dir.
// Older roots stay good until they end or a later rotation drops them, and vouch
// for the new one: boxes notice nothing, and learn the new root with their next
// certificate. The root's key has to be there. The former files are in ca.old
// afterwards. Copy ca/root.pem and ca/issuer.* to the other nodes.
func Rotate(dir string) error {
	if err := rotate(dir, time.Now()); err != nil {
		return fmt.Errorf("rotate authority in %s: %w", dir, err)
	}
	return nil
}

func rotate(dir string, now time.Time) error {
	if err := recoverFolder(dir); err != nil {
		return err
	}
	ca := filepath.Join(dir, folder)
	roots, err := readCerts(filepath.Join(ca, rootFile))
	if err != nil {
		return err
	}
	key, err := readKey(filepath.Join(ca, rootKey), roots[0])
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: put %s back into %s", ErrRootKey, rootKey, ca)
	}
	if err != nil {
		return err
	}
	older, err := readCerts(filepath.Join(ca, issuerFile))
	if err != nil {
		return err
	}
	if len(roots[0].URIs) != 1 {
		return fmt.Errorf("%s: is not a root of a trust domain", rootFile)
	}
	fresh := filepath.Join(dir, folder+".new")
	if err := errors.Join(os.RemoveAll(fresh), os.Mkdir(fresh, 0o700)); err != nil {
		return err
	}
	if err := writeRotated(fresh, roots, older[1:], &pair{roots[0], key}, now); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(ca+".old"), os.Rename(ca, ca+".old"), os.Rename(fresh, ca)); err != nil {
		return err
	}
	return syncDir(dir)
}

// writeRotated writes the next authority. bridges connect the root in use to
// those before it.
func writeRotated(dir string, roots, bridges []*x509.Certificate, in *pair, now time.Time) error {
	domain := in.cert.URIs[0].Host
	root, err := makeRoot(domain, now)
	if err != nil {
		return err
	}
	bridge, err := cross(in, root.cert, domain)
	if err != nil {
		return err
	}
	issuer := pair{}
	if issuer.key, err = newKey(); err != nil {
		return err
	}
	if issuer.cert, err = makeIssuer(domain, root, issuer.key, now); err != nil {
		return err
	}
	kept := roots[:min(len(roots), maxOlderRoots)]
	chain := append([]*x509.Certificate{issuer.cert, bridge}, bridges[:min(len(bridges), maxOlderRoots-1)]...)
	return errors.Join(
		writeKey(filepath.Join(dir, rootKey), root.key),
		writeCerts(filepath.Join(dir, rootFile), append([]*x509.Certificate{root.cert}, kept...)),
		writeKey(filepath.Join(dir, issuerKey), issuer.key),
		writeCerts(filepath.Join(dir, issuerFile), chain),
	)
}

// recoverFolder finishes a rotation that was cut between its two renames.
func recoverFolder(dir string) error {
	ca := filepath.Join(dir, folder)
	_, err := os.Stat(ca)
	_, errNew := os.Stat(filepath.Join(ca+".new", issuerFile)) // the last file written
	_, errOld := os.Stat(ca + ".old")
	if errors.Is(err, fs.ErrNotExist) && errNew == nil && errOld == nil {
		return os.Rename(ca+".new", ca)
	}
	return nil
}
