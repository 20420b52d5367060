package wire_test

import (
	"flag"
	"os"
	"testing"

	"github.com/klauspost/compress/dict"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"signalbox/sync/wire"
)

var newDictionary = flag.String("new-dictionary", "", "write a dictionary of typical frames to this file; give it a new name and id, boxes keep using the old one")

// dictionaryID is of the private range of zstd's ids.
const dictionaryID = 0x5B0001

// TestDictionary makes sure that the dictionary is worth its bytes on frames
// that it was not made of.
func TestDictionary(t *testing.T) {
	if *newDictionary != "" {
		writeDictionary(t, *newDictionary)
	}
	raw, packed, bare := 0, 0, 0
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	s := newSite(t, 99, 20)
	for range 120 {
		f := s.frame()
		data, err := proto.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		small, err := wire.Pack(f)
		if err != nil {
			t.Fatal(err)
		}
		raw, packed, bare = raw+len(data), packed+len(small), bare+len(enc.EncodeAll(data, nil))
	}
	t.Logf("a frame takes %d bytes, %d with zstd, %d with the dictionary", raw/120, bare/120, packed/120)
	if packed > bare*85/100 {
		t.Errorf("the dictionary makes of %d bytes %d, want at most 85 %%", bare, packed)
	}
}

func writeDictionary(t *testing.T, path string) {
	var samples [][]byte
	for seed := range uint64(40) {
		s := newSite(t, seed, int(seed)*3)
		for range 90 {
			data, err := proto.Marshal(s.frame())
			if err != nil {
				t.Fatal(err)
			}
			samples = append(samples, data)
		}
	}
	d, err := dict.BuildZstdDict(samples, dict.Options{
		MaxDictSize: 4 << 10, HashBytes: 5, ZstdDictID: dictionaryID, ZstdDictCompat: true, ZstdLevel: zstd.SpeedFastest,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, d, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Fatalf("wrote %d bytes to %s", len(d), path)
}
