package message_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/letterlock/letterlock/mailbox/message"
)

// A mail is scanned while it is stored; what the scanner says is all that is
// needed to answer IMAP later.
func Example() {
	mail := strings.ReplaceAll(`From: Ann <ann@example.org>
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Der K=E4se liegt im K=FChlschrank.
--b
Content-Type: application/pdf; name=bill.pdf

(a large attachment)
--b--
`, "\n", "\r\n")

	scanner := message.NewScanner()
	stored, err := io.ReadAll(io.TeeReader(strings.NewReader(mail), scanner))
	if err != nil {
		fmt.Println(err)
		return
	}
	m := scanner.Close()

	h := message.ParseHeader(m.Header)
	e := message.ParseEnvelope(h)
	fmt.Println(e.From[0].Mailbox, e.Subject, message.DecodeHeader(e.Subject))

	p, _ := m.Section([]int{2}) // FETCH BODY[2]
	fmt.Println(p.Type, p.Subtype, p.Param("name"), string(stored[p.BodyOffset:p.BodyOffset+p.BodySize]))

	open := func(off, n int64) (io.ReadCloser, error) {
		fmt.Println("reading", n, "octets")
		return io.NopCloser(strings.NewReader(mail[off : off+n])), nil
	}
	found, err := m.SearchText(context.Background(), true, open, []string{"käse", "ham"})
	fmt.Println(found, err)
	// Output:
	// ann =?utf-8?q?Gr=C3=BC=C3=9Fe?= Grüße
	// application pdf bill.pdf (a large attachment)
	// reading 34 octets
	// [true false] <nil>
}
