package cacheblob

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A file holds one range of an object:
//
//	"letterlock cache 1\n" | chunks of 64 KiB, each with the SHA-256 of
//	  SHA-256(name) | offset of the chunk in the object (8, big-endian) | chunk
//	behind it
//
// Its name is, after the hash of the object's, the offset and the length of the
// range, and the letter e if the object ends there.
const (
	fileMagic = "letterlock cache 1\n"
	chunkSize = 64 << 10
	sumSize   = sha256.Size

	tempPrefix = ".new-"
)

// span is a range that a file has.
type span struct {
	off, n int64
	end    bool // the object ends with it
}

func (v span) String() string {
	end := ""
	if v.end {
		end = "e"
	}
	return fmt.Sprintf("%d-%d%s", v.off, v.n, end)
}

func parseSpan(text string) (v span, ok bool) {
	text, v.end = strings.CutSuffix(text, "e")
	off, n, ok := strings.Cut(text, "-")
	var errs [2]error
	v.off, errs[0] = strconv.ParseInt(off, 10, 64)
	v.n, errs[1] = strconv.ParseInt(n, 10, 64)
	return v, ok && errors.Join(errs[:]...) == nil && v.off >= 0 && v.n >= 0
}

// covers reports whether a file of the span has all of a range.
func (v span) covers(off, n int64) bool {
	if off < v.off {
		return false
	}
	return v.end || n >= 0 && off-v.off <= v.n && n <= v.n-(off-v.off)
}

// fileSize returns how large the file of n bytes is.
func fileSize(n int64) int64 {
	return int64(len(fileMagic)) + n + (n+chunkSize-1)/chunkSize*sumSize
}

func chunkSum(name [sha256.Size]byte, off int64, chunk []byte) [sumSize]byte {
	h := sha256.New()
	h.Write(name[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(off)))
	h.Write(chunk)
	return [sumSize]byte(h.Sum(nil))
}

var errDamaged = errors.New("file of the cache is damaged")

// file is an open file of the cache.
type file struct {
	*os.File
	place place
	span  span
	at    int64  // offset in the object of the next chunk
	chunk []byte // what is left of the one that was read
	buf   []byte
}

// find opens a file that has a range, at its beginning.
func (p place) find(off, n int64) (*file, error) {
	folder, err := os.ReadDir(p.folder)
	if err != nil {
		return nil, err
	}
	for _, e := range folder {
		text, ok := strings.CutPrefix(e.Name(), p.prefix)
		if !ok {
			continue
		}
		v, ok := parseSpan(text)
		if !ok || !v.covers(off, n) {
			continue
		}
		if f, err := p.open(v); err == nil {
			if err = f.seek(off); err == nil {
				return f, nil
			}
			f.discard()
		}
	}
	return nil, os.ErrNotExist
}

func (p place) path(v span) string { return filepath.Join(p.folder, p.prefix+v.String()) }

func (p place) open(v span) (*file, error) {
	f, err := os.Open(p.path(v))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if now := time.Now(); now.Sub(info.ModTime()) > touchAfter {
		os.Chtimes(f.Name(), now, now) // a cache that is read-only has no order
	}
	c := &file{File: f, place: p, span: v, buf: make([]byte, min(v.n, chunkSize)+sumSize)}
	head := make([]byte, len(fileMagic))
	if _, err := io.ReadFull(f, head); err != nil || !bytes.Equal(head, []byte(fileMagic)) || info.Size() != fileSize(v.n) {
		c.discard()
		return nil, errDamaged
	}
	return c, nil
}

// seek goes to an offset in the object.
func (f *file) seek(off int64) error {
	skip := min(off-f.span.off, f.span.n)
	first := skip / chunkSize
	f.at = f.span.off + first*chunkSize
	if _, err := f.Seek(int64(len(fileMagic))+first*(chunkSize+sumSize), io.SeekStart); err != nil {
		return err
	}
	if f.span.n == 0 || first*chunkSize == f.span.n {
		return nil
	}
	if err := f.next(); err != nil {
		return err
	}
	f.chunk = f.chunk[skip-first*chunkSize:]
	return nil
}

// next reads a chunk and verifies it. It returns io.EOF at the end of the span.
func (f *file) next() error {
	left := f.span.off + f.span.n - f.at
	if left == 0 {
		return io.EOF
	}
	n := min(left, chunkSize)
	b := f.buf[:n+sumSize]
	if _, err := io.ReadFull(f.File, b); err != nil {
		return errDamaged
	}
	if sum := chunkSum(f.place.sum, f.at, b[:n]); !bytes.Equal(sum[:], b[n:]) {
		return errDamaged
	}
	f.at += n
	f.chunk = b[:n]
	return nil
}

// discard closes the file and removes it.
func (f *file) discard() {
	f.Close()
	os.Remove(f.Name())
}

// remove removes all files of an object.
func (p place) remove() {
	folder, err := os.ReadDir(p.folder)
	if err != nil {
		return
	}
	for _, e := range folder {
		if strings.HasPrefix(e.Name(), p.prefix) {
			os.Remove(filepath.Join(p.folder, e.Name()))
		}
	}
}
