package guard

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
)

// searchArguments says how many strings, numbers or dates follow a search key
// (RFC 9051 section 6.4.4), so that they are not taken for keys.
var searchArguments = map[string]int{
	"BCC": 1, "BEFORE": 1, "BODY": 1, "CC": 1, "CHARSET": 1, "FROM": 1, "HEADER": 2, "KEYWORD": 1, "LARGER": 1, "ON": 1,
	"SENTBEFORE": 1, "SENTON": 1, "SENTSINCE": 1, "SINCE": 1, "SUBJECT": 1, "TEXT": 1, "TO": 1, "UID": 1, "UNKEYWORD": 1,
}

// mendSearch writes SMALLER n as NOT LARGER n-1, which is the same. The engine
// forgets SMALLER when LARGER or a date follows it, and so finds too much; what
// stands behind NOT it keeps.
func mendSearch(c *frame.Command) {
	if c.Name != "SEARCH" && c.Name != "UID SEARCH" || !bytes.Contains(bytes.ToUpper(c.Text), []byte("SMALLER ")) {
		return
	}
	m := searchMender{out: make([]byte, 0, len(c.Text)+64)}
	m.args = 1 + len(strings.Fields(c.Name)) // the tag and the name are no keys
	cuts := make([]int, 0, len(c.Cuts))
	begin, literal := 0, false
	for _, end := range c.Cuts {
		piece := c.Text[begin:end]
		if literal {
			m.out = append(m.out, piece...)
			literal = false
		} else {
			literal = m.line(piece)
		}
		cuts = append(cuts, len(m.out))
		begin = end
	}
	if len(m.out) <= maxEngineLine {
		c.Text, c.Cuts = m.out, cuts
	}
}

// searchMender copies a SEARCH command.
type searchMender struct {
	out  []byte
	args int // tokens to come that are no keys
}

// line copies a line, and reports whether bytes of a literal follow it.
func (m *searchMender) line(b []byte) (literal bool) {
	for i := 0; i < len(b); {
		switch b[i] {
		case ' ', '(', ')', '\r', '\n':
			m.out = append(m.out, b[i])
			i++
		case '"':
			end := i + 1
			for ; end < len(b) && b[end] != '"'; end++ {
				if b[end] == '\\' {
					end++
				}
			}
			end = min(end+1, len(b))
			m.out = append(m.out, b[i:end]...)
			m.args--
			i = end
		case '{':
			m.out = append(m.out, b[i:]...)
			m.args--
			return !bytes.HasPrefix(b[i:], []byte("{0+}"))
		default:
			i += m.atom(b[i:])
		}
		m.args = max(m.args, 0)
	}
	return false
}

// atom copies the atom that b begins with, or what stands in its place, and
// returns how many bytes of b that was.
func (m *searchMender) atom(b []byte) int {
	n := atomLength(b)
	key := strings.ToUpper(string(b[:n]))
	if m.args > 0 {
		m.args--
	} else if key != "SMALLER" {
		m.args = searchArguments[key]
	} else if n+1 < len(b) && b[n] == ' ' {
		size := atomLength(b[n+1:])
		if v, err := strconv.ParseInt(string(b[n+1:n+1+size]), 10, 64); err == nil && v > 0 {
			m.out = strconv.AppendInt(append(m.out, "NOT LARGER "...), v-1, 10)
			return n + 1 + size
		}
		m.args = 1
	}
	m.out = append(m.out, b[:n]...)
	return n
}

// atomLength returns the length of the atom that b begins with.
func atomLength(b []byte) int {
	if i := bytes.IndexAny(b, " ()\"\r\n{"); i >= 0 {
		return i
	}
	return len(b)
}
