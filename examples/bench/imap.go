package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// patience bounds every wait for an answer. The longest is a COPY of a hundred
// thousand messages.
const patience = 3 * time.Minute

// client is an IMAP connection that does as little as it can: what is measured
// is the server.
type client struct {
	conn  net.Conn
	r     *bufio.Reader
	w     *bufio.Writer
	tag   int
	line  []byte
	bytes int64 // of literals, received
}

// refusedError is an answer NO or BAD.
type refusedError struct{ command, answer string }

func (e *refusedError) Error() string { return e.command + ": " + e.answer }

// dial opens a connection. n picks one of 127.0.0.1 to 127.0.0.250 to come from:
// servers bound the connections from one address.
func dial(ctx context.Context, address string, n int) (*client, error) {
	conn, err := dialTCP(ctx, address, n)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReaderSize(conn, 4<<10), w: bufio.NewWriterSize(conn, 4<<10)}
	c.patient()
	line, err := c.read()
	if err == nil && !bytes.HasPrefix(line, []byte("* OK")) {
		err = fmt.Errorf("greeting: %s", line)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func dialTCP(ctx context.Context, address string, n int) (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	if host, _, err := net.SplitHostPort(address); err == nil && strings.HasPrefix(host, "127.") {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(n%250+1))}
	}
	conn, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		context.AfterFunc(ctx, func() { _ = conn.Close() }) // an interruption ends every wait
	}
	return conn, err
}

// login opens a connection and logs in, by token where the account has one. n is
// for dial.
func login(ctx context.Context, s server, a account, n int) (*client, error) {
	c, err := dial(ctx, s.imap(), n)
	if err != nil {
		return nil, err
	}
	if err := c.login(a); err != nil {
		return nil, errors.Join(err, c.conn.Close())
	}
	return c, nil
}

func (c *client) login(a account) error {
	return c.only("LOGIN %s %s", quote(a.name), quote(a.quick()))
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func (c *client) patient() { _ = c.conn.SetDeadline(time.Now().Add(patience)) }

// close logs out, as a client that is done does.
func (c *client) close() error {
	_, err := c.do("LOGOUT")
	return errors.Join(err, c.conn.Close())
}

// read returns the next line of the server. A literal in it is read, counted and
// left out; a line ends behind the last.
func (c *client) read() ([]byte, error) {
	c.line = c.line[:0]
	for {
		part, err := c.r.ReadSlice('\n')
		c.line = append(c.line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c.line = bytes.TrimRight(c.line, "\r\n")
		n, ok := literal(c.line)
		if !ok {
			return c.line, nil
		}
		if _, err := io.CopyN(io.Discard, c.r, n); err != nil {
			return nil, err
		}
		c.bytes += n
	}
}

// literal reports how many bytes follow a line that ends in {n}.
func literal(line []byte) (int64, bool) {
	if !bytes.HasSuffix(line, []byte("}")) {
		return 0, false
	}
	open := bytes.LastIndexByte(line, '{')
	if open < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(string(line[open+1:len(line)-1]), 10, 64)
	return n, err == nil && n >= 0
}

// do sends a command and waits for its answer. It returns how many untagged
// lines came first.
func (c *client) do(format string, args ...any) (int, error) {
	return c.each(nil, format, args...)
}

// each is do with a function that gets every untagged line.
func (c *client) each(line func(string), format string, args ...any) (int, error) {
	if err := c.send(format, args...); err != nil {
		return 0, err
	}
	return c.answer(line, format)
}

func (c *client) send(format string, args ...any) error {
	c.patient()
	c.tag++
	fmt.Fprintf(c.w, "a%d ", c.tag)
	fmt.Fprintf(c.w, format, args...)
	_, _ = c.w.WriteString("\r\n")
	return c.w.Flush() // tells also what the others met
}

// only sends a command whose untagged lines do not matter.
func (c *client) only(format string, args ...any) error {
	_, err := c.do(format, args...)
	return err
}

// answer reads until the tagged line of the command that was sent last. Its name
// goes into an error; its arguments do not, a password may be among them.
func (c *client) answer(untagged func(string), format string) (int, error) {
	tag := fmt.Sprintf("a%d ", c.tag)
	name, _, _ := strings.Cut(format, " %")
	for lines := 0; ; {
		line, err := c.read()
		if err != nil {
			return lines, fmt.Errorf("%s: %w", name, err)
		}
		rest, ok := bytes.CutPrefix(line, []byte(tag))
		switch {
		case ok && bytes.HasPrefix(rest, []byte("OK")):
			return lines, nil
		case ok:
			return lines, &refusedError{name, string(rest)}
		case bytes.HasPrefix(line, []byte("+")):
			return lines, nil // IDLE
		}
		lines++
		if untagged != nil {
			untagged(string(line))
		}
	}
}

// append stores a message. Both ways of a literal are one round trip: with
// LITERAL+ (RFC 7888) nothing waits for a continuation.
func (c *client) append(folder string, text []byte) error {
	c.patient()
	c.tag++
	fmt.Fprintf(c.w, "a%d APPEND %s {%d+}\r\n", c.tag, quote(folder), len(text))
	_, _ = c.w.Write(text)
	_, _ = c.w.WriteString("\r\n")
	if err := c.w.Flush(); err != nil {
		return err
	}
	_, err := c.answer(nil, "APPEND")
	return err
}

// waitFor reads until an untagged line that ends in a word.
func (c *client) waitFor(word string) error {
	c.patient()
	for {
		line, err := c.read()
		if err != nil {
			return err
		}
		if bytes.HasSuffix(line, []byte(word)) {
			return nil
		}
	}
}

// idle begins IDLE (RFC 2177); done ends it.
func (c *client) idle() error {
	_, err := c.do("IDLE")
	return err
}

func (c *client) done() error {
	if _, err := c.conn.Write([]byte("DONE\r\n")); err != nil {
		return err
	}
	c.patient()
	_, err := c.answer(nil, "DONE")
	return err
}

// makeFolder creates a folder that may be there.
func (c *client) makeFolder(name string) error {
	_, err := c.do("CREATE %s", quote(name))
	if refused := new(refusedError); errors.As(err, &refused) {
		_, err = c.do("STATUS %s (MESSAGES)", quote(name))
	}
	return err
}
