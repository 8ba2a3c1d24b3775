package guard

import (
	"bytes"
	"sync"
	"time"
)

// maxEdited is the longest line that is held back to be edited; the lines of
// interest are shorter than the engine's own buffer.
const maxEdited = 8 << 10

// Write passes on what the engine says. It holds back the few lines that the
// guard may have to edit, and gathers short responses of which a command has many.
func (c *conn) Write(p []byte) (int, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.editing() || len(c.line) > 0 {
		return c.sendEdited(p)
	}
	return c.send(p)
}

// send writes p, or gathers it, and follows what it says. The caller holds
// writeMu.
func (c *conn) send(p []byte) (int, error) {
	if c.gathers() && len(p) < maxGathered/2 {
		return c.gather(p)
	}
	if err := c.flush(); err != nil {
		return 0, err
	}
	n, err := c.transport().Write(p)
	c.follow(p[:n])
	return n, err
}

// follow looks at what is said.
func (c *conn) follow(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.responses.feed(p)
	if c.responses.preauth {
		c.responses.preauth = false
		c.authed, c.loginBy = true, time.Time{}
	}
}

// maxGathered is how many bytes of responses are written at once. The engine
// flushes every line: a FETCH of a thousand flags would be a thousand packets.
const maxGathered = 16 << 10

var gatherPool = sync.Pool{New: func() any {
	b := make([]byte, 0, maxGathered)
	return &b
}}

// gathers reports whether the current command is one whose responses come in one
// go: nobody waits for them before the tagged one.
func (c *conn) gathers() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.responses.answered {
		return false
	}
	switch c.responses.name {
	case "FETCH", "UID FETCH", "STORE", "UID STORE", "EXPUNGE", "UID EXPUNGE", "LIST", "LSUB":
		return true
	}
	return false
}

// gather keeps p until the command is answered or there is enough to write. The
// caller holds writeMu.
func (c *conn) gather(p []byte) (int, error) {
	if c.gathered == nil {
		c.gathered = gatherPool.Get().(*[]byte)
	}
	*c.gathered = append(*c.gathered, p...)
	c.follow(p)
	if len(*c.gathered) < maxGathered/2 && !c.answered() {
		return len(p), nil
	}
	return len(p), c.flush()
}

// flush writes what was gathered. The caller holds writeMu.
func (c *conn) flush() error {
	b := c.gathered
	if b == nil {
		return nil
	}
	c.gathered = nil
	_, err := c.transport().Write(*b)
	*b = (*b)[:0]
	gatherPool.Put(b)
	return err
}

// sendEdited sends whole lines, edited, and keeps the rest. A line that is too
// long to be one of interest is passed on.
func (c *conn) sendEdited(p []byte) (int, error) {
	c.line = append(c.line, p...)
	for len(c.line) > 0 {
		n := bytes.IndexByte(c.line, '\n') + 1
		out := c.line[:n]
		switch {
		case n > 0:
			out = c.edit(out)
		case len(c.line) > maxEdited:
			n = len(c.line)
			out = c.line
		default:
			return len(p), nil
		}
		if _, err := c.send(out); err != nil {
			return 0, err
		}
		c.line = c.line[n:]
	}
	c.line = nil
	return len(p), nil
}

// say writes lines of the guard's own, if the engine is not in the middle of a
// response. Only a client that idles can be sent one then.
func (c *conn) say(lines string) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.mu.Lock()
	between := c.responses.between() && len(c.line) == 0
	c.mu.Unlock()
	if !between {
		return nil
	}
	if err := c.raw.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	if _, err := c.transport().Write([]byte(lines)); err != nil {
		return err
	}
	return c.raw.SetWriteDeadline(time.Time{})
}

// answered reports whether the engine has answered the current command.
func (c *conn) answered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.responses.answered
}

// editing reports whether lines that are written now may have to be edited:
// lists of capabilities, and the answer to an IDLE that ended badly.
func (c *conn) editing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.responses.name {
	case "CAPABILITY", "LOGIN", "AUTHENTICATE":
		return true
	}
	return !c.responses.greetingSent || c.instead != ""
}

// edit returns the line to be sent for a line of the engine's.
func (c *conn) edit(line []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.responses.between() {
		return line
	}
	tag := []byte(c.responses.tag + " ")
	answer := c.responses.tag != "" && bytes.HasPrefix(line, tag)
	if c.instead != "" && answer {
		return []byte(c.responses.tag + " " + c.instead + "\r\n")
	}
	if caps, ok := bytes.CutPrefix(line, []byte("* CAPABILITY ")); ok {
		caps = bytes.TrimSuffix(caps, []byte("\r\n"))
		return concat("* CAPABILITY ", c.capabilities(caps, c.authed), "\r\n")
	}
	status, rest, ok := bytes.Cut(line, []byte(" [CAPABILITY "))
	if !ok || !(answer && len(status) == len(tag)+len("OK") || string(status) == "* OK" || string(status) == "* PREAUTH") {
		return line
	}
	caps, rest, _ := bytes.Cut(rest, []byte("]"))
	authed := c.authed || answer && c.responses.name != "CAPABILITY" || string(status) == "* PREAUTH"
	return concat(string(status)+" [CAPABILITY ", c.capabilities(caps, authed), "]"+string(rest))
}

func concat(head string, mid []byte, tail string) []byte {
	return append(append([]byte(head), mid...), tail...)
}

// capabilities corrects a list of the engine's. The engine's options let it take any
// login, and it knows nothing of TLS: what is offered before a login is decided here
// (RFC 9051 section 6.1.1). LITERAL+ says all that LITERAL- says,
// and RFC 7888 does not mean them to be advertised together. The caller holds
// mu.
func (c *conn) capabilities(list []byte, authed bool) []byte {
	words := bytes.Fields(list)
	plus := false
	for _, w := range words {
		plus = plus || string(w) == "LITERAL+"
	}
	locked := !authed && !c.secure && !c.plainAuth
	kept := words[:0]
	for _, w := range words {
		if plus && string(w) == "LITERAL-" || locked && bytes.HasPrefix(w, []byte("AUTH=")) {
			continue
		}
		kept = append(kept, w)
	}
	if !authed && !c.secure && c.o.TLSConfig != nil {
		kept = append(kept, []byte("STARTTLS"))
	}
	if locked {
		kept = append(kept, []byte("LOGINDISABLED"))
	}
	return bytes.Join(kept, []byte(" "))
}
