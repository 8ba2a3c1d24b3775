package blobtest

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"math/bits"
)

// needles are byte strings of 8 to 16 bytes to look for, by their last 8 bytes.
// One look-up for each byte of the haystack finds them all.
type needles map[uint64][]needle

// needle is what stands before the last 8 bytes.
type needle struct {
	prev, mask uint64
	form       string
}

// window is the end of what was seen: 16 bytes, newest in the low byte of last.
type window struct {
	prev, last uint64
	seen       int64 // bytes so far
}

func (w *window) push(b byte) {
	w.prev = w.prev<<8 | w.last>>56
	w.last = w.last<<8 | uint64(b)
	w.seen++
}

// find looks for a needle that ends in p, which follows what w has seen. It
// returns the form of the first, and how many bytes had been seen at its end.
func (ns needles) find(w *window, p []byte) (at int64, form string) {
	for _, b := range p {
		w.push(b)
		for _, n := range ns[w.last] {
			before := int64(bits.Len64(n.mask) / 8)
			if w.prev&n.mask == n.prev && w.seen >= 8+before && form == "" {
				at, form = w.seen, n.form
			}
		}
	}
	return at, form
}

// add adds all runs of MinRun bytes of a plaintext in all forms, and reports
// whether there was any.
func (ns needles) add(plaintext []byte) bool {
	before := len(ns)
	for i := 0; i+MinRun <= len(plaintext); i++ {
		run := plaintext[i : i+MinRun]
		if distinct(run) < 4 {
			continue
		}
		ns.insert(run, "plain")
		ns.insert(bytes.ToLower(run), "lower case")
		ns.insert([]byte(hex.EncodeToString(run)), "hex")
		ns.insert(bytes.ToUpper([]byte(hex.EncodeToString(run))), "hex")
		ns.insert(utf16Bytes(run, 0), "UTF-16LE")
		ns.insert(utf16Bytes(run, 1), "UTF-16BE")
		// Base64 makes 4 characters of 3 bytes, base32 8 of 5, so a run looks
		// different at each offset in such a group. The characters that belong to
		// the run alone are looked for.
		for lead := range 3 {
			from, to := (lead*8+5)/6, (lead+MinRun)*8/6
			padded := append(make([]byte, lead), run...)
			ns.insert([]byte(base64.StdEncoding.EncodeToString(padded))[from:to], "base64")
			ns.insert([]byte(base64.URLEncoding.EncodeToString(padded))[from:to], "base64")
		}
		for lead := range 5 {
			from, to := (lead*8+4)/5, (lead+MinRun)*8/5
			padded := append(make([]byte, lead), run...)
			for _, enc := range []*base32.Encoding{base32.StdEncoding, base32.HexEncoding} {
				text := []byte(enc.EncodeToString(padded))[from:to]
				ns.insert(text, "base32")
				ns.insert(bytes.ToLower(text), "base32")
			}
		}
	}
	return len(ns) > before || ns.knows(plaintext)
}

// knows reports whether a plaintext that added nothing is looked for already.
func (ns needles) knows(plaintext []byte) bool {
	var w window
	_, form := ns.find(&w, plaintext)
	return form != ""
}

// insert adds one byte string of 8 to 16 bytes.
func (ns needles) insert(b []byte, form string) {
	var w window
	for _, c := range b {
		w.push(c)
	}
	n := needle{prev: w.prev, mask: 1<<(8*(len(b)-8)) - 1, form: form}
	for _, have := range ns[w.last] {
		if have.prev == n.prev && have.mask == n.mask {
			return
		}
	}
	ns[w.last] = append(ns[w.last], n)
}

// distinct returns how many different bytes b has.
func distinct(b []byte) int {
	n := 0
	for i, c := range b {
		if bytes.IndexByte(b[:i], c) < 0 {
			n++
		}
	}
	return n
}

// utf16Bytes returns the bytes of ASCII text in UTF-16, with the low byte of each
// unit at offset big.
func utf16Bytes(text []byte, big int) []byte {
	var out []byte
	for _, c := range text {
		out = append(out, 0, 0)
		out[len(out)-2+big] = c
	}
	return out
}
