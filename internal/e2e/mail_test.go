package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
)

// mail returns a message that its ID tells from all others.
func mail(id string) []byte {
	return fmt.Appendf(nil, "From: Bob <bob@example.org>\r\nTo: ann@example.org\r\nSubject: about %[1]s\r\nMessage-ID: <%[1]s@example.org>\r\n"+
		"Date: Mon, 2 Mar 2026 10:00:00 +0000\r\n\r\nThe text of %[1]s.\r\n", id)
}

// dial connects to an IMAP address and logs in as ann.
func dial(t testing.TB, address string, o *imapclient.Options) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialInsecure(address, o)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.Login("ann", password).Wait())
	return c
}

// appendMail appends a message and returns its UID.
func appendMail(c *imapclient.Client, mailbox string, text []byte) (imap.UID, uint32, error) {
	cmd := c.Append(mailbox, int64(len(text)), nil)
	_, err := cmd.Write(text)
	if err := errors.Join(err, cmd.Close()); err != nil {
		return 0, 0, err
	}
	data, err := cmd.Wait()
	if err != nil {
		return 0, 0, err
	}
	return data.UID, data.UIDValidity, nil
}

// deliver delivers a message to addresses by LMTP over a connection that is
// open, and returns those for which the server took it.
func deliver(c *smtp.Client, text []byte, to ...string) (taken []string, err error) {
	if err := c.Mail("bob@example.org", nil); err != nil {
		return nil, err
	}
	for _, a := range to {
		if err := c.Rcpt(a, nil); err != nil {
			return nil, err
		}
	}
	w, err := c.Data()
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	answers, err := w.CloseWithLMTPResponse()
	return slices.Sorted(maps.Keys(answers)), err
}

// dialLMTP connects to an LMTP address.
func dialLMTP(ctx context.Context, address string) (*smtp.Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return smtp.NewClientLMTP(conn), nil
}

// seen is a message as a client sees it.
type seen struct {
	UID   imap.UID
	ID    string // of Message-ID, without @example.org
	Flags []imap.Flag
}

// list returns a mailbox's messages, as the client is told, and its UIDVALIDITY.
func list(t testing.TB, c *imapclient.Client, mailbox string) ([]seen, uint32) {
	t.Helper()
	sel, err := c.Select(mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
	require.NoError(t, err)
	if sel.NumMessages == 0 {
		return nil, sel.UIDValidity
	}
	all := imap.SeqSet{}
	all.AddRange(1, 0)
	msgs, err := c.Fetch(all, &imap.FetchOptions{UID: true, Flags: true, Envelope: true}).Collect()
	require.NoError(t, err)
	out := make([]seen, 0, len(msgs))
	for _, m := range msgs {
		id, _, _ := bytes.Cut([]byte(m.Envelope.MessageID), []byte("@"))
		out = append(out, seen{UID: m.UID, ID: string(id), Flags: m.Flags})
	}
	return out, sel.UIDValidity
}

// read returns the bytes of a message.
func read(t testing.TB, c *imapclient.Client, uid imap.UID) []byte {
	t.Helper()
	section := &imap.FetchItemBodySection{Peek: true}
	msgs, err := c.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	require.NoError(t, err)
	require.Len(t, msgs, 1)
	return msgs[0].FindBodySection(section)
}

// drained reads to the end what a connection still has to say.
func drained(c net.Conn) string {
	b, _ := io.ReadAll(c) // an error is an end too
	return string(b)
}
