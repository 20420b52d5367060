package outbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"syscall"
	"time"
)

// bbolt's file format (version 2). bbolt writes in native byte order.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	headerSize  = 16 // of a page: id, flags, count, overflow
	elementSize = 16 // of an entry of a leaf or a branch
	bucketSize  = 16 // root, sequence
	metaSize    = 64
	branchFlag  = 0x01
	leafFlag    = 0x02
	bucketFlag  = 0x01 // of a leaf's entry
	noFreelist  = ^uint64(0)
	maxDepth    = 32
)

var native = binary.NativeEndian

// inspect walks every page of the file that bbolt would follow, by plain reads,
// and returns ErrDamaged for what bbolt must not be given: it looks for free
// pages when it opens a file, in a goroutine whose panics nobody can catch.
func inspect(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // and with it the lock, which bbolt takes itself
	if err := lock(f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	w := walker{r: f}
	if w.pageSize, w.root, w.highWater, err = newestMeta(f); err == nil {
		if need := int64(w.highWater) * w.pageSize; need > info.Size() {
			err = fmt.Errorf("it has %d bytes and needs %d", info.Size(), need)
		} else {
			w.seen = make([]bool, w.highWater)
			_, err = w.tree(w.root, nil, nil, 0)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// lock makes sure that nobody is writing the file: what is half written would be
// taken for damage.
func lock(f *os.File) error {
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(lockTimeout / 20) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		case time.Now().After(deadline):
			return lockedError(f.Name())
		}
	}
}

func lockedError(path string) error {
	return fmt.Errorf("another program has %s open; stop it", path)
}

// lockTimeout is how long a process that is just ending may take.
const lockTimeout = time.Second

// newestMeta reads the meta page that bbolt will use. One that is torn is what a
// power cut leaves: the other counts then.
func newestMeta(r io.ReaderAt) (pageSize int64, root, highWater uint64, err error) {
	m, err := readMeta(r, 0)
	at := int64(os.Getpagesize()) // bbolt's pages, when only the second can tell
	if err == nil {
		at = int64(native.Uint32(m[8:]))
	}
	second, err2 := readMeta(r, at)
	switch {
	case err != nil && err2 != nil:
		return 0, 0, 0, fmt.Errorf("%w; %w", err, err2)
	case err != nil, err2 == nil && native.Uint64(second[48:]) > native.Uint64(m[48:]):
		m = second
	}
	pageSize = int64(native.Uint32(m[8:]))
	if pageSize != at || pageSize < 1<<10 || pageSize > 64<<10 || pageSize&(pageSize-1) != 0 {
		return 0, 0, 0, fmt.Errorf("pages of %d bytes", pageSize)
	}
	if list := native.Uint64(m[32:]); list != noFreelist {
		return 0, 0, 0, errors.New("it carries a list of free pages, which the outbox never writes")
	}
	root, highWater = native.Uint64(m[16:]), native.Uint64(m[40:])
	if highWater < 3 || highWater > maxPages {
		return 0, 0, 0, fmt.Errorf("%d pages of %d bytes", highWater, pageSize)
	}
	return pageSize, root, highWater, nil
}

// maxPages bounds what is allocated to look at a file: 4 GB in the usual pages.
const maxPages = 1 << 20

func readMeta(r io.ReaderAt, at int64) ([]byte, error) {
	buf := make([]byte, headerSize+metaSize)
	if _, err := r.ReadAt(buf, at); err != nil {
		return nil, fmt.Errorf("meta page at %d: %w", at, err)
	}
	m := buf[headerSize:]
	sum := fnv.New64a()
	_, _ = sum.Write(m[:56])
	if native.Uint32(m) != boltMagic || native.Uint32(m[4:]) != boltVersion || native.Uint64(m[56:]) != sum.Sum64() {
		return nil, fmt.Errorf("meta page at %d is not whole", at)
	}
	return m, nil
}

// walker follows the tree and marks its pages; none may be used twice.
type walker struct {
	r         io.ReaderAt
	pageSize  int64
	root      uint64
	highWater uint64
	seen      []bool
}

// page reads a page with those it overflows into.
func (w *walker) page(id uint64) ([]byte, error) {
	if id < 2 || id >= w.highWater {
		return nil, fmt.Errorf("page %d of %d", id, w.highWater)
	}
	buf := make([]byte, w.pageSize)
	if _, err := w.r.ReadAt(buf, int64(id)*w.pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if got := native.Uint64(buf); got != id {
		return nil, fmt.Errorf("page %d calls itself %d", id, got)
	}
	more := uint64(native.Uint32(buf[12:]))
	if more >= w.highWater-id {
		return nil, fmt.Errorf("page %d overflows into %d more, of %d", id, more, w.highWater)
	}
	for p := id; p <= id+more; p++ {
		if w.seen[p] {
			return nil, fmt.Errorf("page %d is used twice", p)
		}
		w.seen[p] = true
	}
	if more > 0 {
		buf = make([]byte, (int64(more)+1)*w.pageSize)
		if _, err := w.r.ReadAt(buf, int64(id)*w.pageSize); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
	}
	return buf, nil
}

// tree checks the pages below id, whose keys lie in [low, high), nil being no
// bound. It returns the first key: bbolt finds pages in their parents by it.
func (w *walker) tree(id uint64, low, high []byte, depth int) (first []byte, err error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("page %d: more than %d levels", id, maxDepth)
	}
	buf, err := w.page(id)
	if err != nil {
		return nil, err
	}
	switch native.Uint16(buf[8:]) {
	case leafFlag:
		first, err = w.leaf(buf, low, high, depth)
	case branchFlag:
		first, err = w.branch(buf, low, high, depth)
	default:
		err = fmt.Errorf("flags %#x", native.Uint16(buf[8:]))
	}
	if err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return first, nil
}

func (w *walker) branch(buf, low, high []byte, depth int) (first []byte, err error) {
	n := int(native.Uint16(buf[10:]))
	if n == 0 {
		return nil, errors.New("a branch without children")
	}
	keys := make([][]byte, n, n+1)
	for i := range n {
		if keys[i], _, err = element(buf, i, 0, 4, -1); err != nil {
			return nil, err
		}
	}
	if err := ordered(keys, low, high); err != nil {
		return nil, err
	}
	keys = append(keys, high)
	for i := range n {
		child := native.Uint64(buf[headerSize+elementSize*i+8:])
		got, err := w.tree(child, keys[i], keys[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(got, keys[i]) {
			return nil, fmt.Errorf("key %d is not its page's first", i)
		}
	}
	return keys[0], nil
}

func (w *walker) leaf(buf, low, high []byte, depth int) (first []byte, err error) {
	n := int(native.Uint16(buf[10:]))
	keys := make([][]byte, n)
	for i := range n {
		key, value, err := element(buf, i, 4, 8, 12)
		if err != nil {
			return nil, err
		}
		keys[i] = key
		switch flags := native.Uint32(buf[headerSize+elementSize*i:]); flags {
		case 0:
		case bucketFlag:
			if err := w.bucket(value, depth); err != nil {
				return nil, fmt.Errorf("bucket %q: %w", key, err)
			}
		default:
			return nil, fmt.Errorf("entry %d has flags %#x", i, flags)
		}
	}
	if n == 0 {
		return nil, nil
	}
	return keys[0], ordered(keys, low, high)
}

// bucket checks a tree of its own, or a whole leaf within the value.
func (w *walker) bucket(value []byte, depth int) error {
	if len(value) < bucketSize {
		return fmt.Errorf("%d bytes", len(value))
	}
	if root := native.Uint64(value); root != 0 {
		_, err := w.tree(root, nil, nil, depth+1)
		return err
	}
	inline := value[bucketSize:]
	if len(inline) < headerSize || native.Uint16(inline[8:]) != leafFlag || depth > maxDepth {
		return errors.New("no leaf within it")
	}
	_, err := w.leaf(inline, nil, nil, maxDepth+1)
	return err
}

// element returns key and value of entry i of a page, whose position and sizes
// stand at the given offsets of the entry. Positions count from the entry.
func element(page []byte, i, posAt, keyAt, valueAt int) (key, value []byte, err error) {
	at := headerSize + elementSize*i
	if at+elementSize > len(page) {
		return nil, nil, fmt.Errorf("entry %d is beyond the page", i)
	}
	from := int64(at) + int64(native.Uint32(page[at+posAt:]))
	mid := from + int64(native.Uint32(page[at+keyAt:]))
	end := mid
	if valueAt >= 0 {
		end += int64(native.Uint32(page[at+valueAt:]))
	}
	if mid == from || end > int64(len(page)) {
		return nil, nil, fmt.Errorf("entry %d reaches from %d to %d of %d", i, from, end, len(page))
	}
	return page[from:mid], page[mid:end], nil
}

func ordered(keys [][]byte, low, high []byte) error {
	for i, key := range keys {
		if i == 0 && bytes.Compare(key, low) < 0 || i > 0 && bytes.Compare(key, keys[i-1]) <= 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("key %d is out of order", i)
		}
	}
	return nil
}
