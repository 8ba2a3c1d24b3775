package server_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox"
)

// BenchmarkFetch has a client fetch all of a mailbox of 200 messages of 236 KB:
// the bytes, and what the metadata knows.
func BenchmarkFetch(b *testing.B) {
	const n = 200
	mail := long(236 << 10)
	for _, c := range []struct {
		item  string
		bytes int64
	}{{"BODY.PEEK[]", int64(n * len(mail))}, {"FULL", 0}} {
		b.Run(c.item, func(b *testing.B) {
			w := newWorld(b, memblob.New())
			for range n {
				w.put("INBOX", mail)
			}
			p := w.enter("INBOX")
			b.SetBytes(c.bytes)
			b.ReportAllocs()
			for b.Loop() {
				p.send(fmt.Sprintf("x FETCH 1:* %s\r\n", c.item))
				for line := ""; !strings.HasPrefix(line, "x "); {
					line = p.line()
					var size int64
					if i := strings.LastIndexByte(line, '{'); i > 0 {
						_, _ = fmt.Sscanf(line[i:], "{%d}", &size)
					}
					if _, err := io.CopyN(io.Discard, p.br, size); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkTold delivers mail and waits until an idle session is told.
func BenchmarkTold(b *testing.B) {
	w := newWorld(b, nil)
	p := w.enter("INBOX")
	p.send("x IDLE\r\n")
	for p.line() != "+ idling" {
	}
	to := []mailbox.Recipient{{Account: user}}
	for b.Loop() {
		for _, err := range w.store.Deliver(b.Context(), to, strings.NewReader("Subject: x\r\n\r\ny\r\n")) {
			if err != nil {
				b.Fatal(err)
			}
		}
		for !strings.HasSuffix(p.line(), " RECENT") {
		}
	}
}
