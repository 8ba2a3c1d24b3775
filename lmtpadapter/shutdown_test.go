package lmtpadapter

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Shutdown sends idle clients away, also those who have begun an envelope, and
// lets a message that has begun come to its 250.
func TestShutdown(t *testing.T) {
	for name, message := range map[string][]string{
		"data": {"DATA\r\nfirst\r\n", "second\r\n.\r\n"},
		"bdat": {"BDAT 5\r\nfirst", "BDAT 6 LAST\r\nsecond"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newFakeStore("alice@example.org")
				ln := newPipes()
				s := startOn(t, Options{}, store, ln)
				fresh, begun, sending := ln.dial(t), ln.dial(t), ln.dial(t)
				fresh.expect("220 ")
				begun.envelope("alice@example.org")
				sending.envelope("alice@example.org")
				sending.send(message[0])
				sending.expect("") // 354, or 250 for the chunk

				done := make(chan error, 1)
				go func() { done <- s.Shutdown(t.Context()) }()
				fresh.expect("421 4.3.2 mx.example.org is shutting down")
				fresh.end()
				begun.expect("421 4.3.2 ")
				begun.end()
				synctest.Wait()
				assert.Empty(t, done, "a message is still on its way")

				sending.send(message[1])
				sending.expect("250 2.0.0 <alice@example.org> Delivered")
				sending.expect("421 4.3.2 ")
				sending.end()
				require.NoError(t, <-done)
				assert.Len(t, store.got(), 1)
			})
		})
	}
}

// A pipelined command after a message is not served once the server stops.
func TestShutdownStopsPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore("alice@example.org")
		release := make(chan struct{})
		store.deliver = func(context.Context, io.Reader) error { <-release; return nil }
		ln := newPipes()
		s := startOn(t, Options{}, store, ln)
		k := ln.dial(t)
		k.envelope("alice@example.org")
		go k.send("DATA\r\nx\r\n.\r\nMAIL FROM:<>\r\n")
		k.expect("354 ")
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(t.Context()) }()
		synctest.Wait()
		close(release)
		k.expect("250 2.0.0 <alice@example.org> ")
		k.expect("421 4.3.2 ")
		k.end()
		require.NoError(t, <-done)
	})
}

// When Shutdown's time is over, a message that has not arrived and a store that
// does not finish are given up, and the clients are told to come again.
func TestShutdownOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore("alice@example.org")
		store.deliver = func(ctx context.Context, r io.Reader) error {
			var first [1]byte
			if _, err := io.ReadFull(r, first[:]); err != nil {
				return err
			}
			if first[0] != 'w' { // else it waits before it has read the message
				if _, err := io.Copy(io.Discard, r); err != nil {
					return err
				}
			}
			<-ctx.Done()
			return ctx.Err()
		}
		ln := newPipes()
		s := startOn(t, Options{}, store, ln)
		half, stored, waiting := ln.dial(t), ln.dial(t), ln.dial(t)
		half.envelope("alice@example.org")
		half.do("DATA", "354 ")
		half.send("x\r\n")
		stored.envelope("alice@example.org")
		stored.do("DATA", "354 ")
		stored.send("x\r\n.\r\n")

		waiting.envelope("alice@example.org")
		waiting.do("DATA", "354 ")
		waiting.send("wait\r\n")

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done := make(chan error, 1)
		began := time.Now()
		go func() { done <- s.Shutdown(ctx) }()
		half.expect("421 4.3.2 <alice@example.org> ")
		stored.expect("451 4.3.2 <alice@example.org> ")
		stored.expect("421 4.3.2 ")
		stored.end()
		half.expect("421 ")
		half.end()
		waiting.expect("421 4.3.2 <alice@example.org> ")
		waiting.expect("421 ")
		waiting.end()
		require.ErrorIs(t, <-done, context.DeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(began))
		assert.Empty(t, store.got())
	})
}

// Close waits until nothing uses the store any more.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore("alice@example.org")
		var left time.Time
		store.deliver = func(ctx context.Context, r io.Reader) error {
			<-ctx.Done()
			time.Sleep(time.Minute) // cannot be interrupted
			left = time.Now()
			return ctx.Err()
		}
		for _, begin := range []string{"DATA\r\n", "BDAT 5\r\nhello", "BDAT 0\r\n"} {
			ln := newPipes()
			s := startOn(t, Options{}, store, ln)
			k := ln.dial(t)
			k.envelope("alice@example.org")
			go io.WriteString(k.c, begin)
			synctest.Wait()
			go io.Copy(io.Discard, k.in)
			synctest.Wait()
			left = time.Time{}
			require.NoError(t, s.Close())
			assert.Equal(t, time.Now(), left)
			require.NoError(t, s.Close(), "twice")
			require.NoError(t, s.Shutdown(t.Context()), "after Close")
		}
	})
}

func TestServeAfterClose(t *testing.T) {
	s := newServer(&Options{}, newFakeStore())
	require.NoError(t, s.Close())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, s.Serve(ln))
	_, err = net.Dial("tcp", ln.Addr().String())
	require.Error(t, err, "the listener is closed")
}

// tired is a listener that has no descriptors left twice, and then breaks.
type tired struct {
	*pipes
	n int
}

type tooMany struct{}

func (tooMany) Error() string   { return "too many open files" }
func (tooMany) Temporary() bool { return true }

func (l *tired) Accept() (net.Conn, error) {
	if l.n++; l.n <= 2 {
		return nil, tooMany{}
	}
	return nil, assert.AnError
}

func TestServeSurvivesPassingTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(&Options{}, newFakeStore())
		ln := &tired{pipes: newPipes()}
		began := time.Now()
		require.ErrorIs(t, s.Serve(ln), assert.AnError)
		assert.Equal(t, 15*time.Millisecond, time.Since(began), "5 ms and 10 ms")
		require.NoError(t, s.Close())
	})
}
