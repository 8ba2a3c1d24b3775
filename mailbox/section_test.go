package mailbox_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
)

const sectionMail = "Subject: outer\r\nX-A: 1\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n" +
	"--b\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n"

// TestSections reads every kind of section, and ranges of them.
func TestSections(t *testing.T) {
	view, ctx := sectionView(t, memblob.New(), sectionMail)
	for m, err := range view.Messages(ctx, mailbox.All()) {
		require.NoError(t, err)
		meta, err := m.Meta(ctx)
		require.NoError(t, err)
		r := m.Sections(ctx, meta)
		defer r.Close()
		for want, s := range map[string]mailbox.Section{
			sectionMail:                        {},
			"bject: ou":                        {Offset: 2, Count: 9},
			"Subject: inner\r\n":               {Part: []int{2}, Kind: mailbox.SectionHeader, Count: 16},
			"inner text":                       {Part: []int{2}, Kind: mailbox.SectionText},
			"first":                            {Part: []int{1}},
			"X-A: 1\r\n\r\n":                   {Kind: mailbox.SectionHeaderFields, Fields: []string{"x-a"}},
			"Subject: outer\r\nX-A: 1\r\n\r\n": {Kind: mailbox.SectionHeaderFieldsNot, Fields: []string{"Content-Type"}},
			"Content-Transfer-Encoding: base64\r\n\r\n": {Part: []int{3}, Kind: mailbox.SectionMIME},
			"aGVsbG8=": {Part: []int{3}},
			"hello":    {Part: []int{3}, Decode: true},
			"ll":       {Part: []int{3}, Decode: true, Offset: 2, Count: 2},
			"":         {Part: []int{3}, Decode: true, Offset: 5, Count: 2},
		} {
			data, err := r.Open(&s)
			require.NoError(t, err)
			require.False(t, data.Missing)
			got := data.Bytes
			if data.Reader != nil {
				got, err = io.ReadAll(io.LimitReader(data.Reader, data.Size))
				require.NoError(t, err)
			}
			assert.Equal(t, want, string(got), "%+v", s)
			assert.EqualValues(t, len(want), data.Size)
		}
		for _, s := range []mailbox.Section{{Part: []int{4}}, {Part: []int{1, 1}}, {Part: []int{1}, Kind: mailbox.SectionHeader}, {Part: []int{4}, Decode: true}} {
			data, err := r.Open(&s)
			require.NoError(t, err)
			assert.True(t, data.Missing, "%+v", s)
		}
		n, err := r.DecodedSize([]int{3})
		require.NoError(t, err)
		assert.EqualValues(t, 5, n)
	}
}

// TestSectionsReadOnce plans sections that lie beside each other: one read of the
// store serves them.
func TestSectionsReadOnce(t *testing.T) {
	count := blobtest.NewCounting(memblob.New(), func(name string) string {
		if strings.Contains(name, "/body/") {
			return "body"
		}
		return "other"
	})
	view, ctx := sectionView(t, count, sectionMail)
	for m, err := range view.Messages(ctx, mailbox.All()) {
		require.NoError(t, err)
		meta, err := m.Meta(ctx)
		require.NoError(t, err)
		count.Reset()
		r := m.Sections(ctx, meta)
		sections := []mailbox.Section{{Part: []int{1}}, {Part: []int{2}}, {Part: []int{3}}}
		r.Plan(sections)
		for i := range sections {
			data, err := r.Open(&sections[i])
			require.NoError(t, err)
			_, err = io.CopyN(io.Discard, data.Reader, data.Size)
			require.NoError(t, err)
		}
		r.Close()
		assert.Equal(t, 1, count.All()[blobtest.Class{Op: blobtest.OpOpen, Name: "body"}].Calls)
	}
}

func sectionView(t *testing.T, blobs blob.Store, mail string) (*mailbox.View, context.Context) {
	t.Helper()
	ctx := t.Context()
	s, err := mailbox.Open(ctx, blobs, mailbox.Options{Password: crypto.PasswordParams{Time: 1, Memory: 36 << 10, Threads: 1}})
	require.NoError(t, err)
	require.NoError(t, s.CreateAccount(ctx, "ann", []byte("secret")))
	a, err := s.Login(ctx, "ann", []byte("secret"))
	require.NoError(t, err)
	_, err = a.Append(ctx, mailbox.Inbox, strings.NewReader(mail), mailbox.AppendOptions{})
	require.NoError(t, err)
	view, err := a.Select(ctx, mailbox.Inbox, true)
	require.NoError(t, err)
	t.Cleanup(func() {
		view.Close()
		require.NoError(t, a.Close())
		require.NoError(t, s.Close())
	})
	return view, ctx
}
