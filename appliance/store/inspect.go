package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt's file format (version 2), as far as it is needed to tell a sound file
// from one that would make bbolt panic. bbolt writes in native byte order.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	pageHeaderSize = 16 // id, flags, count, overflow
	elementSize    = 16 // of leaf and branch alike
	bucketSize     = 16 // root, sequence
	metaSize       = 64
	branchPage     = 0x01
	leafPage       = 0x02
	freelistPage   = 0x10
	bucketElement  = 0x01
	noFreelist     = ^uint64(0)
	minPageSize    = 1 << 10
	maxPageSize    = 64 << 10
	maxKeyBytes    = 32768
	maxDepth       = 64
)

var native = binary.NativeEndian

// meta is one of the two pages that say where the tree begins. Commits write
// them in turn, so that one is whole when the other is torn.
type meta struct {
	at       int64 // its place in the file: 0, or one page
	pageSize int64
	txid     uint64 // of the commit that wrote it

	root, freelist, highWater uint64
}

// survey is what inspect learned of a sound file.
type survey struct {
	pageSize  int64
	usedBytes int64 // in pages that are reachable
	fileBytes int64
	// crooked is why the file must be rewritten before bbolt may change it.
	crooked error
	// problem is what is wrong with the newest commit when only the one before
	// it is whole; bad is then where to wipe its meta page to get that one.
	problem error
	bad     int64
}

// inspectFile inspects the file of that path.
func inspectFile(path string) (survey, error) {
	f, err := os.Open(path)
	if err != nil {
		return survey{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return survey{}, err
	}
	if !info.Mode().IsRegular() {
		return survey{}, fmt.Errorf("%s is not a file", path)
	}
	return inspect(f, info.Size())
}

// inspect walks every page that bbolt would follow, by plain reads, and returns
// an error that is ErrDamaged unless bbolt can open and scan the file.
// bbolt itself must not be asked: it follows page numbers of a damaged file out
// of its mapping, partly in goroutines whose panics nobody can catch.
func inspect(r io.ReaderAt, size int64) (survey, error) {
	if size == 0 {
		return survey{}, fmt.Errorf("%w: the file is empty", ErrDamaged)
	}
	metas, err := readMetas(r, size)
	if err != nil {
		return survey{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	var problems []error
	for _, m := range metas {
		w := walker{r: r, meta: m, size: size}
		if err := w.walk(); err != nil {
			problems = append(problems, fmt.Errorf("state %d: %w", m.txid, err))
			continue
		}
		s := survey{pageSize: m.pageSize, usedBytes: (w.used + 2) * m.pageSize, fileBytes: size, crooked: w.crooked}
		if len(problems) > 0 {
			s.problem, s.bad = problems[0], metas[0].at
		}
		return s, nil
	}
	if len(problems) > 1 {
		return survey{}, fmt.Errorf("%w: %w; and %w", ErrDamaged, problems[0], problems[1])
	}
	return survey{}, fmt.Errorf("%w: %w", ErrDamaged, problems[0])
}

// readMetas returns the meta pages that bbolt would take for intact, newest
// first, which is how bbolt chooses.
func readMetas(r io.ReaderAt, size int64) ([]meta, error) {
	var metas []meta
	first, ok := readMeta(r, size, 0)
	if ok {
		metas = append(metas, first)
	}
	if ok && first.usablePageSize() {
		if second, ok := readMeta(r, size, first.pageSize); ok {
			metas = append(metas, second)
		}
	} else {
		// Without the first one the page size is unknown; bbolt tries them
		// all and takes the first that looks right.
		for at := int64(minPageSize); at <= maxPageSize; at *= 2 {
			if second, ok := readMeta(r, size, at); ok {
				metas = append(metas, second)
				break
			}
		}
	}
	switch {
	case len(metas) == 0:
		return nil, errors.New("neither of its two meta pages is intact")
	case len(metas) == 2 && metas[1].txid > metas[0].txid:
		metas[0], metas[1] = metas[1], metas[0]
	}
	return metas, nil
}

func readMeta(r io.ReaderAt, size, at int64) (meta, bool) {
	buf := make([]byte, pageHeaderSize+metaSize)
	if at+int64(len(buf)) > size {
		return meta{}, false
	}
	if _, err := r.ReadAt(buf, at); err != nil {
		return meta{}, false
	}
	b := buf[pageHeaderSize:]
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	if native.Uint32(b) != boltMagic || native.Uint32(b[4:]) != boltVersion || native.Uint64(b[56:]) != sum.Sum64() {
		return meta{}, false
	}
	return meta{
		at:        at,
		pageSize:  int64(native.Uint32(b[8:])),
		root:      native.Uint64(b[16:]),
		freelist:  native.Uint64(b[32:]),
		highWater: native.Uint64(b[40:]),
		txid:      native.Uint64(b[48:]),
	}, true
}

func (m meta) usablePageSize() bool {
	return m.pageSize >= minPageSize && m.pageSize <= maxPageSize && m.pageSize&(m.pageSize-1) == 0
}
