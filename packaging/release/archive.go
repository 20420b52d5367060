package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// archive writes the staged files of a target into one folder of a tar.gz.
func (r *release) archive(t target) (err error) {
	folder := "signalbox-" + r.version + "-linux-" + t.name
	file, err := os.Create(filepath.Join(r.out, folder+".tar.gz"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	compressed, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		return err
	}
	w := tar.NewWriter(compressed)
	dir := filepath.Join(r.stage, t.name)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error { // in lexical order
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if rel == "pkg" {
			return fs.SkipDir // for packages alone
		}
		return r.addToArchive(w, path, strings.TrimSuffix(folder+"/"+rel, "/."), d)
	})
	return errors.Join(err, w.Close(), compressed.Close())
}

// addToArchive says of a file only what the same commit has everywhere.
func (r *release) addToArchive(w *tar.Writer, path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, ModTime: r.when, Mode: int64(mode(info.Mode())), Format: tar.FormatUSTAR}
	if d.IsDir() {
		header.Name, header.Typeflag, header.Mode = name+"/", tar.TypeDir, 0o755
		return w.WriteHeader(header)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	header.Size = int64(len(content))
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = w.Write(content)
	return err
}
