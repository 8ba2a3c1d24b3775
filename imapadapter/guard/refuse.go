package guard

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
)

// refuse gives a refusal to the client. A client that speaks another protocol
// is cut off at its first line unless it has logged in: a web page can make a
// browser send lines of the page's choice.
func (c *conn) refuse(r *frame.Refusal) {
	c.mu.Lock()
	authed := c.authed
	c.mu.Unlock()
	c.refusals++
	fatal := r.Fatal || c.refusals >= maxRefusals || r.Nameless && !authed
	text := r.Tag + " " + r.Text + "\r\n"
	if fatal && !strings.HasPrefix(r.Text, "BYE ") {
		text += "* BYE Closing the connection\r\n"
	}
	if err := c.say(text); err != nil {
		c.err = err
		return
	}
	if fatal {
		c.o.Logger.Info("imap guard closed a connection", "remote", c.RemoteAddr().String(), "reason", r.Text)
		c.err = io.EOF
	}
}

// fail ends the connection for err, or refuses a command if err is a refusal. A client
// that was too slow gets BYE if nothing else is being written.
func (c *conn) fail(err error) {
	var r *frame.Refusal
	switch {
	case errors.As(err, &r):
		c.verdict = r
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.verdict = &frame.Refusal{Tag: "*", Text: "BYE Timed out", Fatal: true}
	default:
		c.err = err
	}
}
