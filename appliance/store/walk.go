package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// walker follows one tree and marks its pages.
type walker struct {
	r    io.ReaderAt
	meta meta
	size int64
	seen []uint64 // a bit for each page
	used int64    // pages marked
	bufs [][]byte // one page for each depth
	// crooked is what is wrong with a tree that can be read but not written:
	// bbolt finds a page in its parent by the page's own first key.
	crooked error
}

func (w *walker) walk() error {
	m := w.meta
	if !m.usablePageSize() || m.at != 0 && m.at != m.pageSize {
		return fmt.Errorf("its meta page at %d claims pages of %d bytes", m.at, m.pageSize)
	}
	if m.highWater < 4 || m.highWater > uint64(w.size/m.pageSize) {
		return fmt.Errorf("it needs %d pages of %d bytes, the file has %d bytes: cut off", m.highWater, m.pageSize, w.size)
	}
	w.seen = make([]uint64, m.highWater/64+1)
	if _, err := w.tree(m.root, nil, nil, 0, true); err != nil {
		return err
	}
	return w.freelist()
}

// mark takes a page and those it overflows into; none may be used twice.
func (w *walker) mark(id, overflow uint64) error {
	if id < 2 || id >= w.meta.highWater || overflow >= w.meta.highWater-id {
		return fmt.Errorf("page %d with %d more is outside of the file's %d", id, overflow, w.meta.highWater)
	}
	for p := id; p <= id+overflow; p++ {
		if w.seen[p/64]&(1<<(p%64)) != 0 {
			return fmt.Errorf("page %d is used twice", p)
		}
		w.seen[p/64] |= 1 << (p % 64)
		w.used++
	}
	return nil
}

// page reads a page with its overflow, and marks it. The buffer is valid until
// the next page of the same depth.
func (w *walker) page(id uint64, depth int) ([]byte, error) {
	if depth >= maxDepth {
		return nil, fmt.Errorf("page %d: more than %d levels", id, maxDepth)
	}
	if id < 2 || id >= w.meta.highWater {
		return nil, fmt.Errorf("page %d is outside of the file's %d", id, w.meta.highWater)
	}
	for len(w.bufs) <= depth {
		w.bufs = append(w.bufs, make([]byte, w.meta.pageSize))
	}
	buf := w.bufs[depth][:w.meta.pageSize]
	if _, err := w.r.ReadAt(buf, int64(id)*w.meta.pageSize); err != nil {
		return nil, fmt.Errorf("page %d cannot be read: %w", id, err)
	}
	if got := native.Uint64(buf); got != id {
		return nil, fmt.Errorf("page %d calls itself %d", id, got)
	}
	overflow := uint64(native.Uint32(buf[12:]))
	if err := w.mark(id, overflow); err != nil {
		return nil, err
	}
	if overflow > 0 {
		whole := make([]byte, (int64(overflow)+1)*w.meta.pageSize)
		if _, err := w.r.ReadAt(whole, int64(id)*w.meta.pageSize); err != nil {
			return nil, fmt.Errorf("page %d cannot be read: %w", id, err)
		}
		w.bufs[depth], buf = whole, whole
	}
	return buf, nil
}

// tree checks the subtree at id, whose keys must lie in [low, high), and
// returns its top page, valid until the next page of that depth. Only buckets
// may hang in the root bucket.
func (w *walker) tree(id uint64, low, high []byte, depth int, root bool) (top []byte, err error) {
	buf, err := w.page(id, depth)
	if err != nil {
		return nil, err
	}
	switch flags := native.Uint16(buf[8:]); flags {
	case leafPage:
		return buf, w.leaf(buf, id, low, high, depth, root)
	case branchPage:
		return buf, w.branch(buf, id, low, high, depth, root)
	default:
		return nil, fmt.Errorf("page %d is of kind %#x, want a leaf or a branch", id, flags)
	}
}

func (w *walker) branch(buf []byte, id uint64, low, high []byte, depth int, root bool) error {
	count := int(native.Uint16(buf[10:]))
	if count == 0 {
		return fmt.Errorf("branch page %d has no children", id)
	}
	leaves := 0
	keys := keyOrder{low: low, high: high}
	for i := range count {
		key, err := elementKey(buf, i, 0, 4)
		if err == nil {
			err = keys.next(key)
		}
		if err != nil {
			return fmt.Errorf("branch page %d, entry %d: %w", id, i, err)
		}
		until := high
		if i+1 < count {
			if until, err = elementKey(buf, i+1, 0, 4); err != nil {
				return fmt.Errorf("branch page %d, entry %d: %w", id, i+1, err)
			}
		}
		child := native.Uint64(buf[pageHeaderSize+elementSize*i+8:])
		top, err := w.tree(child, key, until, depth+1, root)
		if err != nil {
			return err
		}
		if first := firstKey(top); !bytes.Equal(first, key) {
			w.crooked = fmt.Errorf("branch page %d, entry %d: key %q, its page begins with %q", id, i, key, first)
		}
		if native.Uint16(top[8:]) == leafPage {
			leaves++
		}
	}
	if leaves != 0 && leaves != count {
		w.crooked = fmt.Errorf("branch page %d has children of two levels", id)
	}
	return nil
}

// firstKey returns the first key of a page that has been checked, or nil.
func firstKey(page []byte) []byte {
	if native.Uint16(page[10:]) == 0 {
		return nil
	}
	posAt, sizeAt := 0, 4
	if native.Uint16(page[8:]) == leafPage {
		posAt, sizeAt = 4, 8
	}
	key, _ := elementKey(page, 0, posAt, sizeAt)
	return key
}

func (w *walker) leaf(buf []byte, id uint64, low, high []byte, depth int, root bool) error {
	keys := keyOrder{low: low, high: high}
	for i := range int(native.Uint16(buf[10:])) {
		key, value, flags, err := leafElement(buf, i)
		if err == nil {
			err = keys.next(key)
		}
		if err == nil && root && flags != bucketElement {
			err = errors.New("it is not a bucket")
		}
		if err == nil && flags == bucketElement {
			err = w.bucket(value, depth)
		}
		if err != nil {
			return fmt.Errorf("leaf page %d, entry %d: %w", id, i, err)
		}
	}
	return nil
}

// bucket checks what hangs under a bucket's value: a tree of its own, or a
// whole small page within the value.
func (w *walker) bucket(value []byte, depth int) error {
	if len(value) < bucketSize {
		return fmt.Errorf("a bucket of %d bytes", len(value))
	}
	if root := native.Uint64(value); root != 0 {
		_, err := w.tree(root, nil, nil, depth+1, false)
		return err
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeaderSize || native.Uint16(inline[8:]) != leafPage {
		return errors.New("an inline bucket without its page")
	}
	var keys keyOrder
	for i := range int(native.Uint16(inline[10:])) {
		key, _, flags, err := leafElement(inline, i)
		if err == nil {
			err = keys.next(key)
		}
		if err == nil && flags != 0 {
			err = errors.New("a bucket within an inline bucket")
		}
		if err != nil {
			return fmt.Errorf("inline entry %d: %w", i, err)
		}
	}
	return nil
}

// freelist checks the list of free pages, which only a file that bbolt has
// just initialised carries: we let bbolt rebuild it at Open.
func (w *walker) freelist() error {
	id := w.meta.freelist
	if id == noFreelist {
		return nil
	}
	buf, err := w.page(id, 0)
	if err != nil {
		return fmt.Errorf("list of free pages: %w", err)
	}
	if flags := native.Uint16(buf[8:]); flags != freelistPage {
		return fmt.Errorf("page %d is of kind %#x, want the list of free pages", id, flags)
	}
	count, at := uint64(native.Uint16(buf[10:])), pageHeaderSize
	if count == 0xFFFF {
		count, at = native.Uint64(buf[at:]), at+8
	}
	if count > uint64(len(buf)-at)/8 {
		return fmt.Errorf("the list of free pages claims %d entries", count)
	}
	used := w.used
	for i := range int(count) {
		if err := w.mark(native.Uint64(buf[at+8*i:]), 0); err != nil {
			return fmt.Errorf("list of free pages: %w", err)
		}
	}
	w.used = used
	return nil
}

// elementKey returns the key of entry i, whose position and size stand at the
// given offsets of the entry. Positions count from the entry itself.
func elementKey(page []byte, i, posAt, sizeAt int) ([]byte, error) {
	at := pageHeaderSize + elementSize*i
	if at+elementSize > len(page) {
		return nil, errors.New("it is beyond the end of the page")
	}
	size := int64(native.Uint32(page[at+sizeAt:]))
	from := int64(at) + int64(native.Uint32(page[at+posAt:]))
	if size == 0 || size > maxKeyBytes || from+size > int64(len(page)) {
		return nil, fmt.Errorf("its key of %d bytes at %d does not fit into %d", size, from, len(page))
	}
	return page[from : from+size], nil
}

func leafElement(page []byte, i int) (key, value []byte, flags uint32, err error) {
	if key, err = elementKey(page, i, 4, 8); err != nil {
		return nil, nil, 0, err
	}
	at := pageHeaderSize + elementSize*i
	from := int64(at) + int64(native.Uint32(page[at+4:])) + int64(len(key))
	size := int64(native.Uint32(page[at+12:]))
	if from+size > int64(len(page)) {
		return nil, nil, 0, fmt.Errorf("its value of %d bytes at %d does not fit into %d", size, from, len(page))
	}
	if flags = native.Uint32(page[at:]); flags&^bucketElement != 0 {
		return nil, nil, 0, fmt.Errorf("its flags are %#x", flags)
	}
	return key, page[from : from+size], flags, nil
}

// keyOrder checks that keys ascend and stay in [low, high); nil is no bound.
type keyOrder struct {
	low, high []byte
	started   bool
}

func (o *keyOrder) next(key []byte) error {
	switch at := bytes.Compare(key, o.low); {
	case at < 0, at == 0 && o.started:
		return errors.New("its key is out of order")
	case o.high != nil && bytes.Compare(key, o.high) >= 0:
		return errors.New("its key belongs to the next page")
	}
	o.low, o.started = key, true
	return nil
}
