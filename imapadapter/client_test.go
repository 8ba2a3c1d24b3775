package imapadapter_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestClientLibrary has go-imap's own client do what a mail program does: it
// parses every response strictly.
func TestClientLibrary(t *testing.T) {
	w := newWorld(t, nil)
	w.options.AppendLimit = 1 << 20
	w.serve.Do(w.start)
	files, err := filepath.Glob("testdata/mail/*.eml")
	require.NoError(t, err)
	for _, f := range files {
		mail, err := os.ReadFile(f)
		require.NoError(t, err)
		w.put("INBOX", string(mail))
	}
	exists := make(chan uint32, 10)
	c, err := imapclient.DialInsecure(w.addr, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				exists <- *data.NumMessages
			}
		},
	}})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Login(user, password).Wait())
	limit, ok := c.Caps().AppendLimit()
	require.True(t, ok)
	assert.Equal(t, uint32(1<<20), *limit)
	ns, err := c.Namespace().Wait()
	require.NoError(t, err)
	assert.Equal(t, []imap.NamespaceDescriptor{{Delim: '/'}}, ns.Personal)

	require.NoError(t, c.Create("Café/2026", nil).Wait())
	require.NoError(t, c.Subscribe("Café/2026").Wait())
	boxes, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true, UIDNext: true}, ReturnSubscribed: true}).Collect()
	require.NoError(t, err)
	require.Len(t, boxes, 3)
	assert.Equal(t, "Café/2026", boxes[1].Mailbox)
	assert.Contains(t, boxes[1].Attrs, imap.MailboxAttrSubscribed)

	selected, err := c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	require.Equal(t, uint32(len(files)), selected.NumMessages)
	all := imap.SeqSet{{Start: 1, Stop: 0}}
	messages, err := c.Fetch(all, &imap.FetchOptions{
		UID: true, Flags: true, InternalDate: true, RFC822Size: true, Envelope: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection:   []*imap.FetchItemBodySection{{Peek: true}, {Peek: true, Part: []int{1}}},
		BinarySection: []*imap.FetchItemBinarySection{{Peek: true, Part: []int{1}}},
	}).Collect()
	require.NoError(t, err)
	require.Len(t, messages, len(files))
	for i, m := range messages {
		want, err := os.ReadFile(files[i])
		require.NoError(t, err)
		assert.Equal(t, want, m.BodySection[0].Bytes, files[i])
		assert.NotEmpty(t, m.BodyStructure.MediaType())
	}
	plain := messages[slices.IndexFunc(files, func(f string) bool { return strings.HasSuffix(f, "plain.eml") })]
	assert.Equal(t, "Café plans", plain.Envelope.Subject)
	assert.True(t, plain.Envelope.Cc[0].IsGroupStart() && plain.Envelope.Cc[3].IsGroupEnd())
	assert.Equal(t, []string{"zero@engines.example", "minus.one@engines.example"}, plain.Envelope.InReplyTo)

	appended := c.Append("INBOX", 3, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagDraft}, Time: noon.Add(-time.Hour)})
	_, err = appended.Write([]byte("hi\n"))
	require.NoError(t, err)
	require.NoError(t, appended.Close())
	at, err := appended.Wait()
	require.NoError(t, err)
	require.Equal(t, imap.UID(len(files)+1), at.UID)

	found, err := c.UIDSearch(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagDraft}}, &imap.SearchOptions{ReturnAll: true}).Wait()
	require.NoError(t, err)
	assert.Equal(t, []imap.UID{at.UID}, found.AllUIDs())
	flagged, err := c.Store(imap.UIDSetNum(at.UID), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Collect()
	require.NoError(t, err)
	require.Len(t, flagged, 1)
	assert.ElementsMatch(t, []imap.Flag{imap.FlagDraft, imap.FlagFlagged, `\Recent`}, flagged[0].Flags)
	moved, err := c.Move(imap.UIDSetNum(at.UID), "Café/2026").Wait()
	require.NoError(t, err)
	assert.Equal(t, imap.UIDSetNum(1), moved.DestUIDs)

	for len(exists) > 0 {
		<-exists
	}
	idle, err := c.Idle()
	require.NoError(t, err)
	w.fill("INBOX", 1)
	select {
	case n := <-exists:
		assert.Equal(t, uint32(len(files)+1), n)
	case <-time.After(10 * time.Second):
		assert.Fail(t, "IDLE does not notify")
	}
	require.NoError(t, idle.Close())
	require.NoError(t, idle.Wait())

	require.NoError(t, c.Logout().Wait())
}
