package mailbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
)

// shape writes threads as IMAP does (RFC 5256 section 4).
func shape(threads []*Thread) string {
	var b strings.Builder
	var write func(t *Thread)
	write = func(t *Thread) {
		if t.UID != 0 {
			fmt.Fprint(&b, t.UID)
			if len(t.Children) > 0 {
				b.WriteByte(' ')
			}
		}
		if len(t.Children) == 1 && t.UID != 0 {
			write(t.Children[0])
			return
		}
		for _, c := range t.Children {
			b.WriteByte('(')
			write(c)
			b.WriteByte(')')
		}
	}
	for _, t := range threads {
		b.WriteByte('(')
		write(t)
		b.WriteByte(')')
	}
	return b.String()
}

// letters fills INBOX with messages that are a header each, one hour apart.
func letters(t testing.TB, headers ...string) *View {
	t.Helper()
	return lettersIn(t, newUser(t, openStore(t, memblob.New()), "ann"), Inbox, headers...)
}

func lettersIn(t testing.TB, a *Account, name string, headers ...string) *View {
	t.Helper()
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for i, h := range headers {
		text := strings.ReplaceAll(strings.TrimSpace(h), "\n", "\r\n") + "\r\n\r\n"
		_, err := a.Append(t.Context(), name, strings.NewReader(text), AppendOptions{Date: start.Add(time.Duration(i) * time.Hour)})
		require.NoError(t, err)
	}
	v, err := a.Select(t.Context(), name, false)
	require.NoError(t, err)
	return v
}

func threaded(t testing.TB, v *View, how ThreadAlgorithm, q *Query) string {
	t.Helper()
	threads, err := v.Thread(t.Context(), how, q)
	require.NoError(t, err)
	return shape(threads)
}

func TestThreadReferences(t *testing.T) {
	a := newUser(t, openStore(t, memblob.New()), "ann")
	for name, c := range map[string]struct {
		headers []string
		want    string
	}{
		"nothing": {nil, ""},
		// The example of RFC 5256 section 4: message 3 has a child 6 with two
		// threads below.
		"the example of the RFC": {[]string{
			"Message-ID: <1@x>", "Message-ID: <2@x>", "Message-ID: <3@x>\nReferences: <2@x>", "Message-ID: <4@x>\nReferences: <3@x> <6@x>",
			"Message-ID: <5@x>\nReferences: <3@x> <6@x> <4@x>", "Message-ID: <6@x>\nReferences: <2@x> <3@x>",
			"Message-ID: <7@x>\nReferences: <3@x> <6@x>", "Message-ID: <8@x>\nReferences: <7@x>",
		}, "(1)(2 3 6 (4 5)(7 8))"},
		"In-Reply-To alone": {[]string{"Message-ID: <1@x>", "Message-ID: <2@x>\nIn-Reply-To: your letter <1@x>"}, "(1 2)"},
		"References before In-Reply-To": {[]string{
			"Message-ID: <1@x>", "Message-ID: <2@x>", "Message-ID: <3@x>\nReferences: <1@x>\nIn-Reply-To: <2@x>",
		}, "(1 3)(2)"},
		"In-Reply-To where References is broken": {[]string{"Message-ID: <1@x>", "References: nonsense\nIn-Reply-To: <1@x>"}, "(1 2)"},
		"answers to a letter that is not there":  {[]string{"References: <0@x>", "References: <0@x>"}, "((1)(2))"},
		"one answer to it":                       {[]string{"References: <0@x>"}, "(1)"},
		"a gap in between": {[]string{
			"Message-ID: <1@x>", "References: <1@x> <gone@x>", "References: <1@x> <gone@x> <more@x>",
		}, "(1 (2)(3))"},
		"an answer before its question": {[]string{"Message-ID: <2@x>\nReferences: <1@x>", "Message-ID: <1@x>"}, "(2 1)"},
		"twice the same ID": {[]string{
			"Message-ID: <1@x>", "Message-ID: <1@x>", "References: <1@x>",
		}, "(1 3)(2)"},
		"itself":          {[]string{"Message-ID: <1@x>\nReferences: <1@x>"}, "(1)"},
		"itself and more": {[]string{"Message-ID: <1@x>\nReferences: <2@x> <1@x>", "Message-ID: <2@x>"}, "(2 1)"},
		"its own word breaks a link that others made": {[]string{
			"Message-ID: <1@x>\nReferences: <0@x> <2@x>", "Message-ID: <0@x>", "Message-ID: <2@x>\nReferences: <1@x>",
		}, "(2)(3 1)"},
		"a circle of two": {[]string{"Message-ID: <1@x>\nReferences: <2@x>", "Message-ID: <2@x>\nReferences: <1@x>"}, "(2 1)"},
		"a circle of three": {[]string{
			"Message-ID: <1@x>\nReferences: <3@x>", "Message-ID: <2@x>\nReferences: <1@x>", "Message-ID: <3@x>\nReferences: <2@x>",
		}, "(3 1 2)"},
		"its own word counts more": {[]string{
			"Message-ID: <a@x>", "Message-ID: <b@x>", "References: <a@x> <c@x>", "Message-ID: <c@x>\nReferences: <b@x>",
		}, "(1)(2 4 3)"},
		"no ID at all": {[]string{"X: y", "X: y", "Message-ID: broken\nX: y"}, "(1)(2)(3)"},
		// Step 5.
		"subjects join":                           {[]string{"Subject: hello", "Subject: Re: hello", "Subject: other"}, "(1 2)(3)"},
		"two questions of one subject":            {[]string{"Subject: hello", "Subject: hello"}, "((1)(2))"},
		"two answers of one subject":              {[]string{"Subject: Re: hello", "Subject: Fwd: hello"}, "((1)(2))"},
		"three":                                   {[]string{"Subject: hello", "Subject: Hello", "Subject: [l] HELLO"}, "((1)(2)(3))"},
		"a question after its answer":             {[]string{"Subject: re: hello", "Subject: hello"}, "(2 1)"},
		"an empty subject joins nothing":          {[]string{"Subject: Re:", "Subject:"}, "(1)(2)"},
		"a place takes what has its subject":      {[]string{"References: <0@x>\nSubject: a", "References: <0@x>\nSubject: a", "Subject: a"}, "((1)(2)(3))"},
		"two places":                              {[]string{"References: <0@x>\nSubject: a", "References: <0@x>\nSubject: b", "References: <9@x>\nSubject: a", "References: <9@x>\nSubject: b"}, "((1)(2)(3)(4))"},
		"no join below the top":                   {[]string{"Message-ID: <1@x>\nSubject: a", "References: <1@x>\nSubject: b", "Subject: c"}, "(1 2)(3)"},
		"siblings by date, not by arrival":        {[]string{"Message-ID: <1@x>", "References: <1@x>\nDate: Fri, 06 Nov 2026 00:00:00 +0000", "References: <1@x>\nDate: Thu, 05 Nov 2026 00:00:00 +0000"}, "(1 (3)(2))"},
		"threads by the date of their first":      {[]string{"Date: Fri, 06 Nov 2026 00:00:00 +0000", "Date: Thu, 05 Nov 2026 23:30:00 -0200"}, "(1)(2)"},
		"a quoted local part is as one without":   {[]string{"Message-ID: <a.b@x>", `References: <"a.b"@x>`}, "(1 2)"},
		"a long list of references has both ends": {[]string{"Message-ID: <1@x>", "References: <1@x> " + strings.Repeat("<q@x> ", 400) + "<z@x>", "Message-ID: <z@x>\nReferences: <q@x>"}, "(1 3 2)"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, a.Create(t.Context(), name))
			require.Equal(t, c.want, threaded(t, lettersIn(t, a, name, c.headers...), ThreadReferences, nil))
		})
	}
}

func TestThreadOrderedSubject(t *testing.T) {
	v := letters(t, "Subject: b", "Subject: Re: a\nDate: Sun, 01 Nov 2026 09:00:00 +0000", "Subject: [l] B", "Subject: a", "Subject: Re: b")
	require.Equal(t, "(1 (3)(5))(4 2)", threaded(t, v, ThreadOrderedSubject, nil))
	require.Equal(t, "(4)(5)", threaded(t, v, ThreadOrderedSubject, &Query{Op: OpSet, Set: UIDs(4, 5)}))
	_, err := v.Thread(t.Context(), 9, nil)
	require.ErrorIs(t, err, ErrBadQuery)
}

// A conversation has one ID, in every process and for every copy, and none of
// another account's.
func TestThreadID(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	s := openStore(t, blobs)
	a, bob := newUser(t, s, "ann"), newUser(t, s, "bob")
	headers := []string{
		"Message-ID: <1@x>", "Message-ID: <2@x>\nReferences: <1@x>", "Message-ID: <3@x>\nIn-Reply-To: <1@x>",
		"Message-ID: <4@x>\nReferences: <1@x> <2@x>\nIn-Reply-To: <9@x>", "Message-ID: <5@x>", "X: none", "X: none",
	}
	v := lettersIn(t, a, Inbox, headers...)
	ids := func(v *View) (out []string) {
		for m, err := range v.Messages(ctx, All()) {
			require.NoError(t, err)
			id, err := m.ThreadID(ctx)
			require.NoError(t, err)
			require.Regexp(t, "^[0-9a-f]{32}$", id.String())
			out = append(out, id.String())
		}
		return out
	}
	got := ids(v)
	for _, i := range []int{1, 2, 3} {
		require.Equal(t, got[0], got[i], i)
	}
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(got))), 4, "four conversations")
	require.Equal(t, []UID{1, 2, 3, 4}, found(t, v, &Query{Op: OpThreadID, Text: got[0]}))
	for m, err := range v.Messages(ctx, UIDs(2)) {
		require.NoError(t, err)
		require.Equal(t, []UID{2}, found(t, v, &Query{Op: OpEmailID, Text: m.ID.String()}))
	}

	require.NoError(t, a.Create(ctx, "Copies"))
	_, err := v.Copy(ctx, All(), "Copies")
	require.NoError(t, err)
	other := login(t, openStore(t, blobs), "ann")
	copies, err := other.Select(ctx, "Copies", true)
	require.NoError(t, err)
	require.Equal(t, got, ids(copies))
	require.NotContains(t, ids(lettersIn(t, bob, Inbox, headers...)), got[0])
}
