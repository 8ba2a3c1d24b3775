package message

import (
	"bytes"
	"unicode/utf8"
)

// matcher finds which of several texts occur in a stream, without regard to case
// and to how blanks and lines are laid out (see [Fold]): a needle is found if
// Fold(text) contains Fold(needle). It takes the stream by Write and holds a
// window of it. An empty needle occurs in every text. A matcher is for one
// goroutine.
type matcher struct {
	needles [][]byte
	found   []bool
	left    int
	keep    int    // octets of text that a needle may have begun in
	window  []byte // folded text: what was kept, then what is new
	space   bool
	part    []byte // the beginning of a rune
}

// newMatcher returns a matcher for the needles.
func newMatcher(needles []string) *matcher {
	m := &matcher{needles: make([][]byte, len(needles)), found: make([]bool, len(needles))}
	for i, n := range needles {
		m.needles[i] = []byte(Fold(n))
		m.found[i] = n == ""
		if n != "" {
			m.left++
			m.keep = max(m.keep, len(m.needles[i])-1)
		}
	}
	return m
}

// Write takes the next octets of the text, in UTF-8. It always returns len(p),
// nil.
func (m *matcher) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && m.left > 0 {
		if len(m.part) > 0 {
			m.part = append(m.part, p[0])
			p = p[1:]
			if utf8.FullRune(m.part) {
				m.flush(false)
			}
			continue
		}
		block := p[:min(len(p), blockSize)]
		used := m.search(block, false)
		if used < len(block) && len(block) == len(p) {
			m.part = append(m.part, p[used:]...)
			break
		}
		p = p[used:]
	}
	return n, nil
}

// Break says that the text ends here and another begins: no needle is found
// across it.
func (m *matcher) Break() {
	m.flush(true)
	m.window = m.window[:0]
	m.space = false
}

// Matched reports whether the i-th needle was found so far.
func (m *matcher) Matched(i int) bool { return m.found[i] }

// Done reports whether all needles were found, so that nothing needs to be
// written any more.
func (m *matcher) Done() bool { return m.left == 0 }

// flush takes what was held as the beginning of a rune. It may be none: then its
// later octets may begin another.
func (m *matcher) flush(final bool) {
	for len(m.part) > 0 {
		used := m.search(m.part, final)
		m.part = append(m.part[:0], m.part[used:]...)
		if used == 0 {
			return
		}
	}
}

// search folds a block and looks for the needles in it and in what was kept.
func (m *matcher) search(block []byte, final bool) (used int) {
	if cap(m.window) < m.keep+len(block) {
		m.window = append(make([]byte, 0, m.keep+max(len(block), 4<<10)), m.window...)
	}
	m.window, used, m.space = appendFold(m.window, block, m.space, final)
	for i, n := range m.needles {
		if !m.found[i] && bytes.Contains(m.window, n) {
			m.found[i] = true
			m.left--
		}
	}
	if extra := len(m.window) - m.keep; extra > 0 {
		m.window = m.window[:copy(m.window, m.window[extra:])]
	}
	return used
}
