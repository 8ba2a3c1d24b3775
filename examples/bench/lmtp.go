package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// lmtpClient is an LMTP connection (RFC 2033).
type lmtpClient struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
}

func dialLMTP(ctx context.Context, address string) (*lmtpClient, error) {
	conn, err := dialTCP(ctx, address, 0)
	if err != nil {
		return nil, err
	}
	c := &lmtpClient{conn: conn, r: bufio.NewReader(conn), w: bufio.NewWriterSize(conn, 64<<10)}
	if err = c.expect("220"); err == nil {
		err = c.do("250", "LHLO bench.example.org")
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *lmtpClient) close() error {
	return errors.Join(c.do("221", "QUIT"), c.conn.Close())
}

func (c *lmtpClient) do(code, format string, args ...any) error {
	fmt.Fprintf(c.w, format+"\r\n", args...)
	if err := c.w.Flush(); err != nil {
		return err
	}
	return c.expect(code)
}

// expect reads one answer of any number of lines.
func (c *lmtpClient) expect(code string) error {
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("LMTP: %s", strings.TrimSpace(line))
		}
		if len(line) > 3 && line[3] != '-' {
			return nil
		}
	}
}

// deliver sends a message to one recipient, and returns when it was taken.
func (c *lmtpClient) deliver(to string, text []byte) error {
	if err := c.do("250", "MAIL FROM:<sender@example.org>"); err != nil {
		return err
	}
	if err := c.do("250", "RCPT TO:<%s>", to); err != nil {
		return err
	}
	if err := c.do("354", "DATA"); err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		if line[0] == '.' {
			_ = c.w.WriteByte('.')
		}
		_, _ = c.w.Write(line)
	}
	return c.do("250", ".")
}
