package guard

import (
	"bytes"
	"strconv"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
)

const (
	headKept = frame.MaxTag + len(" PREAUTH ") // of a line, to see what it is
	tailKept = len("{9223372036854775807}\r\n")
)

// A responseScanner follows what the engine says, to know when it has answered
// a command. It skips literals: a message may hold lines that look like an
// answer. It buffers nothing but the two ends of a line.
type responseScanner struct {
	tag, name    string // of the current command, or empty
	answered     bool   // the current command has its tagged response
	ok           bool   // and it was OK
	continued    bool   // the current command has got a continuation request
	greetingSent bool   // the first line is over
	preauth      bool   // it was PREAUTH

	literal int64 // bytes of a literal still to come
	open    bool  // inside a response
	headLen int
	tailLen int
	head    [headKept]byte // of the response
	tail    [tailKept]byte // of the line
}

// begin makes a command the current one.
func (r *responseScanner) begin(tag, name string) {
	r.tag, r.name = tag, name
	r.answered, r.ok, r.continued = false, false, false
}

// between reports whether all that was said so far is whole responses.
func (r *responseScanner) between() bool { return !r.open }

// feed takes the next bytes.
func (r *responseScanner) feed(p []byte) {
	for len(p) > 0 {
		r.open = true
		if r.literal > 0 {
			n := min(r.literal, int64(len(p)))
			r.literal -= n
			p = p[n:]
			continue
		}
		n := bytes.IndexByte(p, '\n') + 1
		ends := n > 0
		if !ends {
			n = len(p)
		}
		r.headLen += copy(r.head[r.headLen:], p[:n])
		r.keepTail(p[:n])
		p = p[n:]
		if ends {
			r.endLine()
		}
	}
}

// keepTail keeps the last bytes of the line.
func (r *responseScanner) keepTail(p []byte) {
	if len(p) >= tailKept {
		r.tailLen = copy(r.tail[:], p[len(p)-tailKept:])
		return
	}
	if over := r.tailLen + len(p) - tailKept; over > 0 {
		r.tailLen = copy(r.tail[:], r.tail[over:r.tailLen])
	}
	r.tailLen += copy(r.tail[r.tailLen:], p)
}

// endLine ends a line, and the response unless a literal follows. The text at
// the end of a status response or a continuation request may look like a
// literal's header, and is none.
func (r *responseScanner) endLine() {
	head, tail := r.head[:r.headLen], r.tail[:r.tailLen]
	r.tailLen = 0
	if n, ok := announced(tail); ok && !r.isText(head) {
		r.literal = n
		return
	}
	r.open, r.headLen = false, 0
	if !r.greetingSent {
		r.greetingSent = true
		r.preauth = bytes.HasPrefix(head, []byte("* PREAUTH "))
	}
	switch rest, tagged := bytes.CutPrefix(head, []byte(r.tag+" ")); {
	case r.tag == "":
	case tagged:
		r.answered = true
		r.ok = bytes.HasPrefix(rest, []byte("OK "))
	case bytes.HasPrefix(head, []byte("+ ")):
		r.continued = true
	}
}

func (r *responseScanner) isText(head []byte) bool {
	if r.tag != "" && bytes.HasPrefix(head, []byte(r.tag+" ")) {
		return true
	}
	for _, p := range []string{"+ ", "* OK ", "* NO ", "* BAD ", "* BYE ", "* PREAUTH "} {
		if bytes.HasPrefix(head, []byte(p)) {
			return true
		}
	}
	return false
}

// announced returns the size of the literal that a line's last bytes announce.
func announced(tail []byte) (int64, bool) {
	tail, ok := bytes.CutSuffix(tail, []byte("}\r\n"))
	if !ok {
		return 0, false
	}
	i := bytes.LastIndexByte(tail, '{')
	if i < 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(tail[i+1:]), 10, 63)
	return int64(n), err == nil
}
