package message

import "bytes"

// matcher finds which of several texts occur in a stream, without regard to case
// and to how blanks and lines are laid out (see [Fold]): a needle is found if
// Fold(text) contains Fold(needle). It takes the stream by Write and holds a
// window of it. A needle that is empty when folded occurs in every text. A matcher is for one
// goroutine.
type matcher struct {
	needles [][]byte
	found   []bool
	left    int
	keep    int    // octets of text that a needle may have begun in
	window  []byte // folded text: what was kept, then what is new
	space   bool
	part    []byte // what could not be folded without what follows
}

// newMatcher returns a matcher for the needles.
func newMatcher(needles []string) *matcher {
	m := &matcher{needles: make([][]byte, len(needles)), found: make([]bool, len(needles))}
	for i, n := range needles {
		m.needles[i] = []byte(Fold(n))
		if m.found[i] = len(m.needles[i]) == 0; !m.found[i] {
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
			p = m.join(p)
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

// join takes what was held together with the beginning of p, and returns the rest of
// p.
func (m *matcher) join(p []byte) []byte {
	held := len(m.part)
	n := min(len(p), 256)
	m.part = append(m.part, p[:n]...)
	used := m.search(m.part, false)
	if used >= held {
		m.part = m.part[:0]
		return p[used-held:]
	}
	m.part = m.part[:copy(m.part, m.part[used:])]
	return p[n:]
}

// Break says that the text ends here and another begins: no needle is found
// across it.
func (m *matcher) Break() {
	m.search(m.part, true)
	m.part, m.window = m.part[:0], m.window[:0]
	m.space = false
}

// Matched reports whether the i-th needle was found so far.
func (m *matcher) Matched(i int) bool { return m.found[i] }

// Done reports whether all needles were found, so that nothing needs to be
// written any more.
func (m *matcher) Done() bool { return m.left == 0 }

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
