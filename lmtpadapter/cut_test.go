package lmtpadapter

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox"
)

// A client that goes away in the middle of a message leaves nothing, wherever
// that is, and the server lets go of the connection.
func TestCutLeavesNothing(t *testing.T) {
	for name, part := range map[string]string{
		"in data":            "DATA\r\nSubject: x\r\n\r\ntext\r\n",
		"in the dot":         "DATA\r\ntext\r\n.\r",
		"in a chunk":         "BDAT 100\r\ntext",
		"in the last chunk":  "BDAT 100 LAST\r\ntext",
		"before its bytes":   "BDAT 100 LAST\r\n",
		"between chunks":     "BDAT 4\r\ntext",
		"in a later command": "BDAT 4\r\ntextBDAT 0 LA",
		"in the last of two": "BDAT 4\r\ntextBDAT 10 LAST\r\n123456789",
	} {
		t.Run(name, func(t *testing.T) {
			store := newFakeStore("alice@example.org", "bob@example.org")
			s := start(t, Options{}, store)
			k := s.dial(t)
			k.envelope("alice@example.org", "bob@example.org")
			k.send(part)
			require.NoError(t, k.c.(*net.TCPConn).CloseWrite())
			_, err := io.Copy(io.Discard, k.in) // until the server has closed too
			require.NoError(t, err)
			require.NoError(t, s.Close())
			assert.Empty(t, store.got())
		})
	}
}

// pipes is a listener whose connections are net.Pipes, which live in a synctest
// bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(t *testing.T) *talk {
	c, server := net.Pipe()
	p.conns <- server
	t.Cleanup(func() { c.Close() })
	k := newTalk(t, c)
	c.SetDeadline(time.Time{})
	return k
}

// Time that passes between the bytes of a message counts, time that it takes as
// a whole does not.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore("alice@example.org")
		ln := newPipes()
		startOn(t, Options{}, store, ln)
		k := ln.dial(t)
		k.envelope("alice@example.org")
		k.do("DATA", "354 ")
		for range 10 {
			time.Sleep(DefaultReadTimeout - time.Second)
			k.send("x\r\n")
		}
		k.do(".", "250 ")
		require.Len(t, store.got(), 1)
		assert.Equal(t, strings.Repeat("x\r\n", 10), string(store.got()[0].body))

		k.mail("alice@example.org")
		for range 10 {
			time.Sleep(DefaultReadTimeout - time.Second)
			k.send("BDAT 1\r\nx")
			k.expect("250 2.0.0 Continue")
		}
		k.send("BDAT 1 LAST\r\nx")
		k.expect("250 2.0.0 <alice@example.org> ")
		require.Len(t, store.got(), 2)
	})
}

// A message that stands still is given up, and what comes of it later is not
// taken for commands.
func TestStalledMessage(t *testing.T) {
	for _, begin := range []string{"DATA\r\nx\r\n", "BDAT 10\r\nx\r\n", "BDAT 10 LAST\r\nx\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			store := newFakeStore("alice@example.org")
			ln := newPipes()
			startOn(t, Options{}, store, ln)
			k := ln.dial(t)
			k.envelope("alice@example.org")
			began := time.Now()
			go k.send(begin)
			if begin[0] == 'D' {
				k.expect("354 ")
			}
			k.expect("421 4.4.2 ")
			assert.Equal(t, DefaultReadTimeout, time.Since(began))
			k.expect("421 ")
			_, err := io.WriteString(k.c, "MAIL FROM:<evil@example.net>\r\n")
			require.Error(t, err, "the connection is closed")
			assert.Empty(t, store.got())
		})
	}
}

func TestIdleClientIsSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		startOn(t, Options{ReadTimeout: time.Minute}, newFakeStore(), ln)
		k := ln.dial(t)
		k.expect("220 ")
		began := time.Now()
		k.expect("421 4.4.2 ")
		assert.Equal(t, time.Minute, time.Since(began))
		k.end()
	})
}

// A store that does not come back is not waited for beyond DeliverTimeout; a
// client that is slow is the client's affair.
func TestDeliverTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore("alice@example.org")
		store.deliver = func(ctx context.Context, r io.Reader) error {
			if _, err := io.Copy(io.Discard, r); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}
		ln := newPipes()
		startOn(t, Options{DeliverTimeout: time.Minute}, store, ln)
		k := ln.dial(t)
		k.envelope("alice@example.org")
		k.do("DATA", "354 ")
		time.Sleep(3 * time.Minute)
		k.send("x\r\n")
		time.Sleep(3 * time.Minute)
		last := time.Now()
		k.do(".", "451 4.3.2 <alice@example.org> ")
		assert.Equal(t, time.Minute, time.Since(last))
		k.do("NOOP", "250 ")
	})
}

// A store that hangs before it has read the message is not waited for either.
func TestDeliverTimeoutInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore("alice@example.org")
		store.deliver = func(ctx context.Context, r io.Reader) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ln := newPipes()
		startOn(t, Options{DeliverTimeout: time.Minute}, store, ln)
		k := ln.dial(t)
		k.envelope("alice@example.org")
		began := time.Now()
		k.send("BDAT 4 LAST\r\n")
		k.send("text")
		k.expect("451 4.3.2 <alice@example.org> ")
		assert.Equal(t, time.Minute, time.Since(began))
	})
}

// The end of a connection between chunks ends what was begun for it.
func TestCutEndsDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore("alice@example.org")
		ln := newPipes()
		s := startOn(t, Options{}, store, ln)
		k := ln.dial(t)
		k.envelope("alice@example.org")
		began := time.Now()
		k.send("BDAT 0\r\n")
		k.expect("250 2.0.0 Continue")
		require.NoError(t, k.c.Close())
		require.NoError(t, s.Shutdown(t.Context()))
		assert.Zero(t, time.Since(began))
		assert.Empty(t, store.got())
	})
}

// The reason why a message could not be read is answered, whatever the store
// makes of it.
func TestStoreThatHidesTheReason(t *testing.T) {
	store := newFakeStore("alice@example.org")
	store.deliver = func(_ context.Context, r io.Reader) error {
		if _, err := io.Copy(io.Discard, r); err != nil {
			return assert.AnError
		}
		return nil
	}
	k := start(t, Options{MaxMessage: 10}, store).dial(t)
	k.envelope("alice@example.org")
	k.do("DATA", "354 ")
	k.do("0123456789\r\n.", "552 5.3.4 <alice@example.org> ")
}

// Lines of a message have no limit, those of commands do.
func TestLineLengths(t *testing.T) {
	store := newFakeStore("alice@example.org")
	s := start(t, Options{}, store)
	k := s.dial(t)
	k.envelope("alice@example.org")
	line := strings.Repeat("x", 3<<20)
	k.do("DATA", "354 ")
	k.do(line+"\r\n.", "250 ")
	k.mail("alice@example.org")
	k.send("BDAT 3145728 LAST\r\n" + line)
	k.expect("250 ")
	require.Len(t, store.got(), 2)
	assert.True(t, bytes.Equal([]byte(line+"\r\n"), store.got()[0].body))
	assert.True(t, bytes.Equal([]byte(line), store.got()[1].body))

	k.do("NOOP "+strings.Repeat("x", maxLine-7), "250 ")
	k.send("NOOP " + strings.Repeat("x", maxLine-6) + "\r\n")
	k.expect("500 5.4.0 Too long line")
	k.end()

	k = s.dial(t)
	k.expect("220 ")
	go io.WriteString(k.c, strings.Repeat("x", 10*readBuffer)) // without an end
	k.expect("500 5.4.0 Too long line")
}

// What the store leaves unread is read all the same, so that the next command
// is found.
func TestStoreThatDoesNotRead(t *testing.T) {
	store := newFakeStore("alice@example.org")
	store.deliver = func(_ context.Context, r io.Reader) error {
		io.CopyN(io.Discard, r, 3)
		return assert.AnError
	}
	k := start(t, Options{}, store).dial(t)
	k.envelope("alice@example.org")
	body := strings.Repeat("QUIT\r\n", 100_000)
	k.do("DATA", "354 ")
	k.do(body+".", "451 4.3.0 <alice@example.org> ")
	k.mail("alice@example.org")
	k.send("BDAT 10\r\n0123456789BDAT 600000\r\n" + body)
	k.expect("250 2.0.0 Continue")
	k.expect("250 2.0.0 Continue")
	k.send("BDAT 600000 LAST\r\n" + body)
	k.expect("451 4.3.0 <alice@example.org> ")
	k.do("NOOP", "250 ")
}

func TestStoreThatPanics(t *testing.T) {
	store := newFakeStore("alice@example.org")
	store.deliver = func(context.Context, io.Reader) error { panic("out of order") }
	s := start(t, Options{}, store)
	for _, begin := range []string{"DATA\r\n", "BDAT 5 LAST\r\nhello"} {
		k := s.dial(t)
		k.envelope("alice@example.org")
		k.send(begin)
		if begin[0] == 'D' {
			k.expect("354 ")
		}
		k.expect("421 4.0.0 ")
		k.end()
	}
	assert.Contains(t, s.logs.String(), "level=ERROR")
	assert.Contains(t, s.logs.String(), "out of order")
	s.dial(t).expect("220 ") // and it goes on
}

// The message is read once and handed to the store in one call.
func TestOneCall(t *testing.T) {
	store := newFakeStore("alice@example.org", "bob@example.org", "carol@example.org")
	store.fail["bob@example.org"] = mailbox.ErrNoAccount // deleted since RCPT
	k := start(t, Options{}, store).dial(t)
	k.envelope("alice@example.org", "bob@example.org", "carol@example.org")
	k.do("DATA", "354 ")
	k.send("x\r\n.\r\n")
	k.expect("250 2.0.0 <alice@example.org> ")
	k.expect("550 5.1.1 <bob@example.org> ")
	k.expect("250 2.0.0 <carol@example.org> ")
	assert.Equal(t, 1, store.calls)
}
