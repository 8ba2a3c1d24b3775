package translate

import (
	"strings"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"

	"github.com/letterlock/letterlock/mailbox"
)

// Limits of the patterns of one LIST. They bound the work on a name.
const (
	maxPatterns     = 100
	maxPatternBytes = 8 << 10 // of all patterns, each with the reference before it
)

// patterns are the patterns of one LIST, ready to be tried with many names: "*" is any
// text, "%" any text without a separator (RFC 9051 section 6.3.9). In the first level,
// INBOX is written in any case.
//
// They are one automaton that is in a set of states, a bit each. A pattern of n
// characters has n+1 states: state i says that the first i characters matched. Trying a
// name takes a step for each of its bytes and each 64 states, whatever the patterns.
type patterns struct {
	start, end []uint64      // the first and the last state of each pattern
	open       []uint64      // those of end whose pattern ends with "%"
	star       []uint64      // states before a "*"
	percent    []uint64      // states before a "%"
	next       [256][]uint64 // states that the byte leads on from; nil: none
	from, to   []uint64      // scratch: the states before and after a byte
}

// compile returns the patterns of a LIST that begin with a reference. It fails with an
// answer that has the code LIMIT.
func compile(ref string, list []string) (*patterns, error) {
	size := 0
	for _, p := range list {
		size += len(ref) + len(p)
	}
	if len(list) > maxPatterns || size > maxPatternBytes {
		return nil, No(imap.ResponseCodeLimit, "Too many patterns, or too long")
	}
	texts := make([]string, len(list))
	states := 0
	for i, p := range list {
		texts[i] = joinWildcards(norm.NFC.String(ref + p)) // as names are stored
		states += len(texts[i]) + 1
	}
	words := (states + 63) / 64
	mem := make([]uint64, 7*words)
	take := func() (set []uint64) {
		set, mem = mem[:words:words], mem[words:]
		return set
	}
	m := &patterns{start: take(), end: take(), open: take(), star: take(), percent: take(), from: take(), to: take()}
	at := 0
	for _, text := range texts {
		m.add(text, at)
		at += len(text) + 1
	}
	return m, nil
}

// joinWildcards writes each run of wildcards as the one that matches the same.
func joinWildcards(pattern string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); {
		n := 0
		for i+n < len(pattern) && isWildcard(pattern[i+n]) {
			n++
		}
		switch {
		case n == 0:
			n = 1
			b.WriteByte(pattern[i])
		case strings.Contains(pattern[i:i+n], "*"):
			b.WriteByte('*')
		default:
			b.WriteByte('%')
		}
		i += n
	}
	return b.String()
}

func isWildcard(c byte) bool { return c == '*' || c == '%' }

// add makes the states of a pattern, the first of which is at.
func (m *patterns) add(text string, at int) {
	setBit(m.start, at)
	for i := range len(text) {
		switch c := text[i]; c {
		case '*':
			setBit(m.star, at+i)
		case '%':
			setBit(m.percent, at+i)
		default:
			if m.next[c] == nil {
				m.next[c] = make([]uint64, len(m.start))
			}
			setBit(m.next[c], at+i)
		}
	}
	setBit(m.end, at+len(text))
	if strings.HasSuffix(text, "%") {
		setBit(m.open, at+len(text))
	}
}

// match reports whether one of the patterns matches a name, which must be canonical, and
// whether one does that ends with "%".
func (m *patterns) match(name string) (matches, open bool) {
	inbox := 0 // bytes of name that match in any case
	if name == mailbox.Inbox || strings.HasPrefix(name, mailbox.Inbox+string(mailbox.Separator)) {
		inbox = len(mailbox.Inbox)
	}
	from, to := m.from, m.to
	copy(from, m.start)
	m.skip(from)
	for i := range len(name) {
		c := name[i]
		clear(to)
		any := m.step(to, from, m.next[c])
		if i < inbox {
			any |= m.step(to, from, m.next[c-'A'+'a'])
		}
		for w, s := range from {
			stay := s & m.star[w]
			if c != mailbox.Separator {
				stay |= s & m.percent[w]
			}
			to[w] |= stay
			any |= stay
		}
		if any == 0 {
			return false, false
		}
		m.skip(to)
		from, to = to, from
	}
	for w, s := range from {
		matches = matches || s&m.end[w] != 0
		open = open || s&m.open[w] != 0
	}
	return matches, open
}

// step adds to to the states after those of from that a byte leads on from. It returns
// 0 if there are none.
func (m *patterns) step(to, from, byByte []uint64) (any uint64) {
	carry := uint64(0)
	for w, b := range byByte {
		s := from[w] & b
		to[w] |= s<<1 | carry
		carry = s >> 63
		any |= s
	}
	return any
}

// skip adds the states after a wildcard, which matches no text too. No two wildcards
// follow each other.
func (m *patterns) skip(states []uint64) {
	carry := uint64(0)
	for w, s := range states {
		s &= m.star[w] | m.percent[w]
		states[w] |= s<<1 | carry
		carry = s >> 63
	}
}

func setBit(set []uint64, i int) { set[i/64] |= 1 << (i % 64) }
