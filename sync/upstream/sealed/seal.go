package sealed

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/chacha20poly1305"
)

// A sealed backup is
//
//	magic    "signalbox sealed 1\n"
//	key id   8 bytes, which tell codes apart and nothing about them
//	salt     32 random bytes
//	chunks   each 65,536 bytes sealed with ChaCha20-Poly1305 (RFC 8439), so 65,552
//
// The key is HKDF-SHA256 (RFC 5869) of the code's secret with the salt; its info
// covers the box and all of the header. The nonce is the number of the chunk, 11
// bytes, and a byte that is 1 in the last and 0 in all others (STREAM, as age has
// it): chunks that are swapped, doubled or left out at the end do not open.
//
// What the chunks hold is 8 bytes with the time at which the backup was made, in
// milliseconds, and the backup as zstd with frames to skip after it (RFC 8878
// §3.1.2) up to the end of a chunk: the size tells steps of 64 KiB.
const (
	magic      = "signalbox sealed 1\n"
	keyIDBytes = 8
	saltBytes  = 32
	headBytes  = len(magic) + keyIDBytes + saltBytes

	chunkBytes  = 64 << 10
	sealedBytes = chunkBytes + chacha20poly1305.Overhead
	timeBytes   = 8

	skippable   = 0x184D2A50
	skipHead    = 8
	windowBytes = 1 << 20 // what a decoder has to hold
	maxWindow   = 8 << 20
)

// Errors of Open, beside those of its reader.
var (
	// ErrNotSealed is returned for what is no sealed backup.
	ErrNotSealed = errors.New("it is not a sealed backup")
	// ErrWrongCode is returned when the backup was sealed for another code.
	ErrWrongCode = errors.New("the recovery code is not the one this backup was sealed for")
	// ErrTampered is returned when it was changed or cut off.
	ErrTampered = errors.New("the sealed backup was changed or cut off")
	// ErrTooLarge is returned when it holds more than the caller takes.
	ErrTooLarge = errors.New("the sealed backup holds more than fits here")
)

type header [headBytes]byte

func newHeader(code Code) (h header) {
	copy(h[:], magic)
	copy(h[len(magic):], code.id())
	_, _ = rand.Read(h[len(magic)+keyIDBytes:]) // never fails, by its contract
	return h
}

func (h *header) keyID() []byte { return h[len(magic) : len(magic)+keyIDBytes] }
func (h *header) salt() []byte  { return h[len(magic)+keyIDBytes:] }

func (c Code) derive(salt []byte, info string, n int) []byte {
	key, err := hkdf.Key(sha256.New, c.secret[:], salt, info, n)
	if err != nil {
		panic(err) // lengths are constants that HKDF takes
	}
	return key
}

func (c Code) id() []byte { return c.derive(nil, "signalbox backup key id 1 "+c.box, keyIDBytes) }

func (h *header) cipher(code Code) cipher.AEAD {
	key := code.derive(h.salt(), "signalbox backup 1 "+code.box+" "+string(h[:]), chacha20poly1305.KeySize)
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		panic(err) // of the length of the key alone
	}
	return aead
}

func nonceOf(number uint64, last bool) (n [chacha20poly1305.NonceSize]byte) {
	binary.BigEndian.PutUint64(n[3:11], number)
	if last {
		n[11] = 1
	}
	return n
}

// Seal writes the backup that in gives, made at a time, as a sealed one. It holds
// some 2 MiB whatever the size.
func Seal(out io.Writer, in io.Reader, code Code, made time.Time) error {
	if code.IsZero() {
		return errors.New("seal: want a recovery code")
	}
	h := newHeader(code)
	if _, err := out.Write(h[:]); err != nil {
		return err
	}
	chunks := &chunkWriter{out: out, aead: h.cipher(code)}
	var at [timeBytes]byte
	binary.BigEndian.PutUint64(at[:], uint64(max(made.UnixMilli(), 0)))
	if _, err := chunks.Write(at[:]); err != nil {
		return err
	}
	z, err := zstd.NewWriter(chunks, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(windowBytes), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, in); err != nil {
		return errors.Join(err, z.Close())
	}
	if err := z.Close(); err != nil {
		return err
	}
	return chunks.finish()
}

// chunkWriter seals full chunks. The newest is held back: it may be the last.
type chunkWriter struct {
	out    io.Writer
	aead   cipher.AEAD
	number uint64
	held   []byte
	sealed []byte
}

func (w *chunkWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if len(w.held) == chunkBytes {
			if err := w.seal(false); err != nil {
				return n, err
			}
		}
		took := min(len(p), chunkBytes-len(w.held))
		w.held, p, n = append(w.held, p[:took]...), p[took:], n+took
	}
	return n, nil
}

func (w *chunkWriter) seal(last bool) error {
	nonce := nonceOf(w.number, last)
	w.sealed = w.aead.Seal(w.sealed[:0], nonce[:], w.held, nil)
	w.held, w.number = w.held[:0], w.number+1
	_, err := w.out.Write(w.sealed)
	return err
}

// finish fills the last chunk with a frame to skip.
func (w *chunkWriter) finish() error {
	rest := chunkBytes - len(w.held)
	if rest > 0 && rest < skipHead { // no room for a frame: one more chunk
		rest += chunkBytes
	}
	if rest > 0 {
		pad := make([]byte, rest)
		binary.LittleEndian.PutUint32(pad, skippable)
		binary.LittleEndian.PutUint32(pad[4:], uint32(rest-skipHead))
		if _, err := w.Write(pad); err != nil {
			return err
		}
	}
	return w.seal(true)
}

// IsSealed tells whether a file beginning so is a sealed backup.
func IsSealed(begin []byte) bool {
	return len(begin) >= len(magic) && string(begin[:len(magic)]) == magic
}

// HeadBytes is how much of a file IsSealed wants to see.
const HeadBytes = len(magic)

// Open writes the backup that was sealed, at most limit bytes of it, and tells
// when it was made. Nothing of what it has written is any good unless it returns
// nil: errors are ErrNotSealed, ErrWrongCode, ErrTampered, ErrTooLarge, and those
// of in and out.
func Open(out io.Writer, in io.Reader, code Code, limit int64) (made time.Time, err error) {
	var h header
	if _, err := io.ReadFull(in, h[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = ErrNotSealed
		}
		return made, err
	}
	if !IsSealed(h[:]) {
		return made, ErrNotSealed
	}
	if subtle.ConstantTimeCompare(h.keyID(), code.id()) != 1 {
		return made, ErrWrongCode
	}
	chunks := &chunkReader{in: in, aead: h.cipher(code)}
	var at [timeBytes]byte
	if _, err := io.ReadFull(chunks, at[:]); err != nil {
		return made, asTampered(err)
	}
	made = time.UnixMilli(int64(binary.BigEndian.Uint64(at[:]) & (1<<63 - 1)))
	z, err := zstd.NewReader(chunks, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return made, err
	}
	defer z.Close()
	to := &noting{out: out}
	n, err := io.Copy(to, io.LimitReader(z, limit))
	if err == nil && n == limit {
		// Nothing may come any more, and the chunks have to be read to their end.
		var more int64
		if more, err = io.Copy(io.Discard, io.LimitReader(z, 1)); err == nil && more > 0 {
			return made, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
		}
	}
	switch {
	case to.err != nil:
		return made, to.err
	case chunks.err != nil && !errors.Is(chunks.err, io.EOF):
		return made, chunks.err
	case err != nil || chunks.err == nil: // the chunks are good, what is in them is not
		return made, fmt.Errorf("%w: it was not made by this program", ErrTampered)
	}
	return made, nil
}

// noting is a writer that keeps its error.
type noting struct {
	out io.Writer
	err error
}

func (w *noting) Write(p []byte) (n int, err error) {
	n, w.err = w.out.Write(p)
	return n, w.err
}

// asTampered makes of an end that came too early what it is.
func asTampered(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTampered
	}
	return err
}

// chunkReader opens chunks. One is read ahead: only then is it known whether the
// one before was the last.
type chunkReader struct {
	in     io.Reader
	aead   cipher.AEAD
	number uint64
	plain  []byte // opened and not handed on
	next   []byte // sealed; nil before the first
	spare  []byte
	err    error // io.EOF after the last chunk
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.plain) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.open()
	}
	n := copy(p, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

// open opens the next chunk, or sets err.
func (r *chunkReader) open() {
	if r.next == nil {
		if r.next, r.err = r.read(make([]byte, sealedBytes)); r.err != nil {
			r.err = asTampered(r.err)
			return
		}
		r.spare = make([]byte, sealedBytes)
	}
	after, err := r.read(r.spare)
	last := errors.Is(err, io.EOF) // between two chunks; within one it is another error
	if err != nil && !last {
		r.err = asTampered(err)
		return
	}
	nonce := nonceOf(r.number, last)
	opened, err := r.aead.Open(r.next[:0], nonce[:], r.next, nil)
	if err != nil {
		r.err = ErrTampered
		return
	}
	r.number++
	r.plain = append(r.plain[:0:0], opened...)
	r.spare, r.next = r.next[:sealedBytes], after
	if last {
		r.err = io.EOF
	}
}

func (r *chunkReader) read(into []byte) ([]byte, error) {
	_, err := io.ReadFull(r.in, into)
	return into, err
}
