package guard

import (
	"bytes"
	"encoding/base64"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
)

// maxSASLLine is the longest line that the engine reads whole inside
// AUTHENTICATE; of a longer one it takes the rest for commands.
const maxSASLLine = 4096 - 2

// awaitResponse waits for the client's part of an authentication exchange. What
// cannot be one cancels the exchange (RFC 9051 section 6.2.2).
func (c *conn) awaitResponse() {
	c.setPhase(commandTimeout)
	line, r, err := c.reply()
	if err != nil {
		c.fail(err)
	}
	if r != nil && r.Fatal {
		c.verdict = r
	}
	if err != nil || r != nil || len(line) > maxSASLLine || !validBase64(line) {
		line = []byte{'*'}
	}
	c.load(append(line, '\r', '\n'), len(line)+2)
}

// validAuthenticate reports whether a command is a mechanism and at most one
// initial response (RFC 9051 section 6.2.2). The engine would take any text.
func validAuthenticate(cmd *frame.Command) bool {
	if len(cmd.Cuts) != 1 {
		return false
	}
	args := bytes.TrimSuffix(cmd.Text[len(cmd.Tag)+len(" AUTHENTICATE"):], []byte("\r\n"))
	words := bytes.Split(args, []byte(" "))
	return len(words) == 2 || len(words) == 3 && len(words[2]) > 0 && validBase64(words[2])
}

// validBase64 reports whether b is a client's part of an exchange. A lone equals
// sign is the empty one.
func validBase64(b []byte) bool {
	if string(b) == "=" {
		return true
	}
	_, err := base64.StdEncoding.Decode(make([]byte, base64.StdEncoding.DecodedLen(len(b))), b)
	return err == nil
}
