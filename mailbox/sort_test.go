package mailbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
)

func sorted(t testing.TB, v *View, q *Query, by ...SortBy) []UID {
	t.Helper()
	list, err := v.Sort(t.Context(), by, q)
	require.NoError(t, err)
	out := []UID{}
	for _, f := range list {
		require.Equal(t, int(f.UID)-1, f.Index)
		out = append(out, f.UID)
	}
	return out
}

// Every criterion of RFC 5256 section 3 and RFC 5957.
func TestSortKeys(t *testing.T) {
	v := letters(t,
		"Subject: Re: banana\nFrom: Zoe <m@x>\nTo: \"B\" <a@x>\nCc: k@x\nDate: Mon, 02 Nov 2026 10:00:00 +0200",
		"Subject: [list] Apple\nFrom: A@x\nTo: group: c@x, d@x;\nDate: Mon, 02 Nov 2026 08:30:00 +0000",
		"Subject: cherry (fwd)\nFrom: =?utf-8?q?=C3=81d=C3=A1m?= <z@x>\nTo: b@x\nCc: K@x, a@x",
		"X: no field of those that are asked for, but a long one",
	)
	key := func(k SortKey) SortBy { return SortBy{Key: k} }
	reverse := func(k SortKey) SortBy { return SortBy{Key: k, Reverse: true} }
	for _, c := range []struct {
		by   []SortBy
		want []UID
	}{
		{nil, []UID{1, 2, 3, 4}},
		{[]SortBy{key(SortArrival)}, []UID{1, 2, 3, 4}},
		{[]SortBy{reverse(SortArrival)}, []UID{4, 3, 2, 1}},
		{[]SortBy{key(SortDate)}, []UID{3, 4, 1, 2}}, // INTERNALDATE of 1 November where there is no Date
		{[]SortBy{key(SortSubject)}, []UID{4, 2, 1, 3}},
		{[]SortBy{reverse(SortSubject)}, []UID{3, 1, 2, 4}},
		{[]SortBy{key(SortFrom)}, []UID{4, 2, 1, 3}},
		{[]SortBy{key(SortTo)}, []UID{4, 1, 3, 2}},
		{[]SortBy{key(SortCc)}, []UID{2, 4, 1, 3}},
		{[]SortBy{reverse(SortCc)}, []UID{1, 3, 2, 4}}, // equal ones keep their order
		{[]SortBy{key(SortDisplayFrom)}, []UID{4, 2, 3, 1}},
		{[]SortBy{key(SortDisplayTo)}, []UID{4, 1, 3, 2}},
		{[]SortBy{key(SortSize)}, []UID{4, 3, 2, 1}},
		{[]SortBy{key(SortCc), reverse(SortArrival)}, []UID{4, 2, 3, 1}},
		{[]SortBy{key(SortCc), reverse(SortCc), reverse(SortArrival)}, []UID{4, 2, 3, 1}},
	} {
		require.Equal(t, c.want, sorted(t, v, nil, c.by...), "%v", c.by)
	}
	require.Equal(t, []UID{3, 2}, sorted(t, v, &Query{Op: OpSet, Set: UIDs(2, 3)}, key(SortDate)))
	require.Empty(t, sorted(t, v, &Query{Op: OpFlag, Text: FlagSeen}, key(SortDate)))
	_, err := v.Sort(t.Context(), []SortBy{{Key: 99}}, nil)
	require.ErrorIs(t, err, ErrBadQuery)
	// What matches a query of its own comes first.
	an := SortBy{Key: SortMatch, Query: &Query{Op: OpHeader, Field: "Subject", Text: "an"}}
	ch := SortBy{Key: SortMatch, Query: &Query{Op: OpNot, Args: []*Query{{Op: OpSet, Set: UIDs(1, 2)}}}, Reverse: true}
	require.Equal(t, []UID{1, 2, 3, 4}, sorted(t, v, nil, an))
	require.Equal(t, []UID{1, 4, 3, 2}, sorted(t, v, nil, an, reverse(SortArrival)))
	require.Equal(t, []UID{2, 1, 4, 3}, sorted(t, v, nil, ch, reverse(SortArrival)))
	require.Equal(t, []UID{1, 2, 4, 3}, sorted(t, v, nil, an, ch, reverse(SortArrival)))
	for _, q := range []*Query{nil, {Op: OpNot}} {
		_, err = v.Sort(t.Context(), []SortBy{{Key: SortMatch, Query: q}}, nil)
		require.ErrorIs(t, err, ErrBadQuery)
	}
}

// What sorting, threading and thread IDs ask for reads no body, also of messages
// whose header is too long to be kept whole.
func TestSortReadsNoBody(t *testing.T) {
	ctx := t.Context()
	count := blobtest.NewCounting(memblob.New(), kindOf)
	a := newUser(t, openStore(t, count), "ann")
	for i := range 20 {
		text := strings.Repeat("X-Filler: "+strings.Repeat("f", 900)+"\r\n", 50*(i%2)) + mail(i) + strings.Repeat("text\r\n", 100)
		_, err := a.Append(ctx, Inbox, strings.NewReader(text), AppendOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, snapshotNow(ctx, a.account))
	v := selectInbox(t, a)
	before := count.All()[blobtest.Class{Op: blobtest.OpOpen, Name: "body"}]
	for k := SortArrival; k <= SortDisplayTo; k++ {
		require.Len(t, sorted(t, v, nil, SortBy{Key: k}), 20)
	}
	for _, how := range []ThreadAlgorithm{ThreadOrderedSubject, ThreadReferences} {
		require.NotEmpty(t, threaded(t, v, how, nil))
	}
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		_, err := m.ThreadID(ctx)
		require.NoError(t, err)
	}
	require.Equal(t, before, count.All()[blobtest.Class{Op: blobtest.OpOpen, Name: "body"}])
}

// Ten thousand messages with headers of ordinary length.
func benchMailbox(b *testing.B) *View {
	ctx := b.Context()
	a := newUser(b, openStore(b, memblob.New()), "ann")
	filler := strings.Repeat("Received: from a.example by b.example with ESMTPS id 0123456789;\r\n\tMon, 02 Nov 2026 10:00:00 +0000\r\n", 10)
	date := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i := range 10_000 {
		text := filler + fmt.Sprintf("From: Person %d <p%d@example.org>\r\nTo: ann@example.org\r\nSubject: Re: [list] subject %d\r\nMessage-ID: <%d@example.org>\r\n"+
			"References: <%d@example.org> <%d@example.org>\r\nDate: %s\r\n\r\nbody\r\n", i*7919%10_000, i, i*31%2000, i, i/10, i/2, date.Add(time.Duration(i*7919%10_000)*time.Minute).Format(time.RFC1123Z))
		_, err := a.Append(ctx, Inbox, strings.NewReader(text), AppendOptions{})
		require.NoError(b, err)
	}
	a.account.snapshots.stop()
	require.NoError(b, snapshotNow(ctx, a.account))
	return selectInbox(b, a)
}

func BenchmarkSort10000(b *testing.B) {
	v := benchMailbox(b)
	for name, by := range map[string][]SortBy{
		"arrival":      {{Key: SortArrival, Reverse: true}},
		"subject-date": {{Key: SortSubject}, {Key: SortDate}},
		"display":      {{Key: SortDisplayFrom}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				list, err := v.Sort(b.Context(), by, nil)
				require.NoError(b, err)
				require.Len(b, list, 10_000)
			}
		})
	}
}

func BenchmarkThread10000(b *testing.B) {
	v := benchMailbox(b)
	for name, how := range map[string]ThreadAlgorithm{"references": ThreadReferences, "orderedsubject": ThreadOrderedSubject} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := v.Thread(b.Context(), how, nil)
				require.NoError(b, err)
			}
		})
	}
}
