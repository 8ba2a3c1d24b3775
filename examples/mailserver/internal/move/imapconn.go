package move

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// connectTimeout bounds how long a server may take to be ready for a login.
const connectTimeout = 30 * time.Second

// dial connects to a server, encrypted if it is to be.
func (s server) dial(ctx context.Context) (*serverConn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	greeting := ""
	if s.starttls {
		if greeting, err = startTLS(conn); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if s.tls || s.starttls {
		host, _, _ := net.SplitHostPort(s.address)
		secure := tls.Client(conn, &tls.Config{ServerName: host, NextProtos: []string{"imap"}})
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		conn = secure
	}
	return &serverConn{Conn: conn, r: bufio.NewReader(io.MultiReader(strings.NewReader(greeting), conn))}, nil
}

// startTLS asks for encryption (RFC 9051 section 6.2.1) and returns a greeting for
// the client that comes after. It reads byte by byte: what somebody slipped in
// behind the answer must not be taken for something encrypted.
func startTLS(conn net.Conn) (greeting string, err error) {
	if err := conn.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return "", err
	}
	line := func() (string, error) {
		var b []byte
		for c := make([]byte, 1); len(b) < cli.MaxLine; {
			if _, err := io.ReadFull(conn, c); err != nil {
				return "", err
			}
			if b = append(b, c[0]); c[0] == '\n' {
				return string(b), nil
			}
		}
		return "", errors.New("a line of more than 4096 bytes")
	}
	if text, err := line(); err != nil || !strings.HasPrefix(text, "* OK") {
		return "", errors.Join(errors.New("the server does not greet"), err)
	}
	if _, err := io.WriteString(conn, "s STARTTLS\r\n"); err != nil {
		return "", err
	}
	for {
		text, err := line()
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(text, "* ") {
			continue
		}
		if !strings.HasPrefix(text, "s OK") {
			return "", fmt.Errorf("the server refuses STARTTLS (-plain does without encryption)")
		}
		return "* OK\r\n", conn.SetDeadline(time.Time{})
	}
}

// serverConn hides from the client, until it is logged in, that a server speaks
// IMAP4rev2 too. The client would write names of mailboxes in UTF-8 without having
// said so, and their "&" in UTF-7.
type serverConn struct {
	net.Conn
	r    *bufio.Reader
	open atomic.Bool // nothing is hidden any more
	line []byte
}

func (c *serverConn) Read(p []byte) (int, error) {
	if len(c.line) == 0 && !c.open.Load() {
		line, err := c.r.ReadSlice('\n')
		if err != nil && (len(line) == 0 || !errors.Is(err, bufio.ErrBufferFull)) {
			return 0, err
		}
		c.line = bytes.ReplaceAll(line, []byte("IMAP4rev2"), []byte("X-HIDDEN2"))
	}
	if len(c.line) > 0 {
		n := copy(p, c.line)
		c.line = c.line[n:]
		return n, nil
	}
	return c.r.Read(p)
}
