package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// An ar archive, which a deb is (deb(5)): a magic, then for each member a
// header of text fields and its bytes, padded to an even number.
const (
	arMagic       = "!<arch>\n"
	arHeaderBytes = 60
	arSizeAt      = 48
)

// recompress replaces the uncompressed data.tar of a deb by one that xz itself
// has compressed: a fifth smaller than by the encoder that nfpm has.
func recompress(name, arch string) error {
	deb, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(deb, []byte(arMagic))
	if !ok {
		return fmt.Errorf("%s is no ar archive", name)
	}
	out := bytes.NewBufferString(arMagic)
	found := false
	for len(rest) >= arHeaderBytes {
		header := rest[:arHeaderBytes]
		size, err := strconv.Atoi(strings.TrimSpace(string(header[arSizeAt : arSizeAt+10])))
		if err != nil || arHeaderBytes+size > len(rest) {
			return fmt.Errorf("%s: got size %q of a member", name, header[arSizeAt:arSizeAt+10])
		}
		body := rest[arHeaderBytes : arHeaderBytes+size]
		rest = rest[min(len(rest), arHeaderBytes+size+size%2):]
		if strings.TrimRight(string(header[:16]), " /") == "data.tar" {
			found = true
			if body, err = xz(body, arch); err != nil {
				return err
			}
			header = fmt.Appendf(nil, "%-16s%s%-10d%s", "data.tar.xz", header[16:arSizeAt], len(body), header[arSizeAt+10:])
		}
		out.Write(header)
		out.Write(body)
		if len(body)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	if !found {
		return errors.New(name + " has no data.tar; deb.compression has to be none")
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}

// filters fit xz to the instructions of an architecture: a filter that makes
// jumps repeat, and words of four bytes. The one for arm64 is left out, as xz
// reads it since 5.4, which Debian 11 and Ubuntu 22.04 do not have.
var filters = map[string][]string{
	"amd64":   {"--x86", "--lzma2=preset=6"},
	"arm64":   {"--lzma2=preset=6,lp=2,lc=2"},
	"armv7":   {"--arm", "--lzma2=preset=6,lp=2,lc=2"},
	"armv6":   {"--arm", "--lzma2=preset=6,lp=2,lc=2"},
	"riscv64": {"--lzma2=preset=6"},
}

// xz compresses at its default level, which takes 9 MB to unpack on a small box
// and is within 0.5 % of the best. In one thread: the number of blocks depends
// on the number of cores.
func xz(data []byte, arch string) ([]byte, error) {
	cmd := exec.Command("xz", append([]string{"--threads=1", "--check=crc64", "--stdout"}, filters[arch]...)...)
	cmd.Stdin = bytes.NewReader(data)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("xz: %w; a deb needs xz-utils\n%s", err, complaints.String())
	}
	return out, nil
}
