package mailbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
)

func found(t testing.TB, v *View, q *Query) []UID {
	t.Helper()
	out := []UID{}
	for f, err := range v.Search(t.Context(), q) {
		require.NoError(t, err)
		require.Equal(t, int(f.UID)-1, f.Index)
		out = append(out, f.UID)
	}
	return out
}

// Every search key of RFC 9051 section 6.4.4, and those of RFC 5032, 7162 and 8514.
func TestSearchKeys(t *testing.T) {
	ctx := t.Context()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	s, err := Open(ctx, memblob.New(), Options{Password: cheap, Now: func() time.Time { return now }})
	require.NoError(t, err)
	defer s.Close()
	a := newUser(t, s, "ann")
	add := func(text string, date time.Time, flags ...string) {
		_, err := a.Append(ctx, Inbox, strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")), AppendOptions{Date: date, Flags: flags})
		require.NoError(t, err)
	}
	day := func(d, hour int) time.Time { return time.Date(2026, 11, d, hour, 30, 0, 0, time.UTC) }
	// 1: late in the evening in New York, which is the next day in UTC.
	add("Subject: =?utf-8?q?Gr=C3=BCne_aus?= Berlin\nDate: Mon, 9 Nov 2026 23:10:00 -0500\nX-Empty:\n\nplain Body\n", day(10, 4), FlagSeen, "$Work")
	// 2: without Date, text in base64.
	add("Subject: two\nContent-Transfer-Encoding: base64\n\nTmVlZGxlIGluIGJhc2U2NA==\n", day(10, 23), FlagFlagged)
	// 3: a header that is longer than what is kept.
	add("Subject: three\nDate: 11 Nov 2026 00:00:00 +0000\n"+strings.Repeat("X-Filler: "+strings.Repeat("f", 900)+"\n", 50)+"X-Last: Treasure\n\nbody\n",
		day(11, 0), FlagDeleted, FlagDraft)
	// 4: nothing.
	add("", day(12, 12), FlagAnswered)
	require.NoError(t, snapshotNow(ctx, a.account))
	v := selectInbox(t, a)
	require.True(t, func() bool {
		for m, err := range v.Messages(ctx, UIDs(3)) {
			require.NoError(t, err)
			meta, err := m.Meta(ctx)
			require.NoError(t, err)
			return meta.HeaderCut
		}
		return false
	}(), "the third header is to be cut")

	on := func(d int) time.Time { return time.Date(2026, 11, d, 17, 0, 0, 0, time.FixedZone("", -9*3600)) }
	ago := func(d, hour int) int64 { return int64(now.Sub(day(d, hour)) / time.Second) }
	all, none := []UID{1, 2, 3, 4}, []UID{}
	for name, c := range map[string]struct {
		q    Query
		want []UID
	}{
		"ALL":                    {Query{}, all},
		"flag":                   {Query{Op: OpFlag, Text: `\sEEN`}, []UID{1}},
		"keyword":                {Query{Op: OpFlag, Text: "$WORK"}, []UID{1}},
		"unknown keyword":        {Query{Op: OpFlag, Text: "$None"}, none},
		"UNSEEN":                 {Query{Op: OpNot, Args: []*Query{{Op: OpFlag, Text: FlagSeen}}}, []UID{2, 3, 4}},
		"DELETED":                {Query{Op: OpFlag, Text: FlagDeleted}, []UID{3}},
		"UNDELETED":              {Query{Op: OpNot, Args: []*Query{{Op: OpFlag, Text: FlagDeleted}}}, []UID{1, 2, 4}},
		"NEW":                    {Query{Op: OpNew}, []UID{2, 3, 4}},
		"OLD":                    {Query{Op: OpOld}, none},
		"RECENT":                 {Query{Op: OpRecent}, all},
		"BEFORE":                 {Query{Op: OpBefore, Time: on(11)}, []UID{1, 2}},
		"ON":                     {Query{Op: OpOn, Time: on(10)}, []UID{1, 2}},
		"SINCE":                  {Query{Op: OpSince, Time: on(11)}, []UID{3, 4}},
		"SENTBEFORE":             {Query{Op: OpSentBefore, Time: on(10)}, []UID{1}},
		"SENTON, its own zone":   {Query{Op: OpSentOn, Time: on(9)}, []UID{1}},
		"SENTON, without Date":   {Query{Op: OpSentOn, Time: on(10)}, []UID{2}},
		"SENTSINCE":              {Query{Op: OpSentSince, Time: on(11)}, []UID{3, 4}},
		"SAVEDON":                {Query{Op: OpSavedOn, Time: on(23)}, all},
		"SAVEDBEFORE":            {Query{Op: OpSavedBefore, Time: on(23)}, none},
		"SAVEDSINCE":             {Query{Op: OpSavedSince, Time: on(22)}, all},
		"YOUNGER, to the second": {Query{Op: OpYounger, N: ago(11, 0)}, []UID{3, 4}},
		"YOUNGER, a second less": {Query{Op: OpYounger, N: ago(11, 0) - 1}, []UID{4}},
		"OLDER, to the second":   {Query{Op: OpOlder, N: ago(11, 0)}, []UID{1, 2, 3}},
		"OLDER, a second more":   {Query{Op: OpOlder, N: ago(11, 0) + 1}, []UID{1, 2}},
		"OLDER, very":            {Query{Op: OpOlder, N: 1 << 62}, none},
		"LARGER":                 {Query{Op: OpLarger, N: 0}, []UID{1, 2, 3}},
		"SMALLER":                {Query{Op: OpSmaller, N: 1}, []UID{4}},
		"MODSEQ":                 {Query{Op: OpModSeq, N: int64(v.HighestModSeq())}, []UID{4}},
		"HEADER, decoded":        {Query{Op: OpHeader, Field: "SUBJECT", Text: "GRÜNE"}, []UID{1}},
		"HEADER, exists":         {Query{Op: OpHeader, Field: "x-empty"}, []UID{1}},
		"HEADER, not kept":       {Query{Op: OpHeader, Field: "X-Last", Text: "treasure"}, []UID{3}},
		"HEADER, of no message":  {Query{Op: OpHeader, Field: "X-None"}, none},
		"BODY":                   {Query{Op: OpBody, Text: "BODY"}, []UID{1, 3}},
		"BODY, decoded":          {Query{Op: OpBody, Text: "needle in"}, []UID{2}},
		"BODY, empty":            {Query{Op: OpBody}, all},
		"TEXT, empty":            {Query{Op: OpText}, all},
		"TEXT, header":           {Query{Op: OpText, Text: "aus berlin"}, []UID{1}},
		"TEXT, end of header":    {Query{Op: OpText, Text: "treasure"}, []UID{3}},
		"BODY is not the header": {Query{Op: OpBody, Text: "treasure"}, none},
		"set":                    {Query{Op: OpSet, Set: Set{Ranges: []Range{{3, Star}}}}, []UID{3, 4}},
		"not set":                {Query{Op: OpNot, Args: []*Query{{Op: OpSet, Set: UIDs(2, 3)}}}, []UID{1, 4}},
		"or sets":                {Query{Op: OpOr, Args: []*Query{{Op: OpSet, Set: UIDs(1)}, {Op: OpSet, Set: UIDs(4)}}}, []UID{1, 4}},
		"and sets":               {Query{Op: OpAnd, Args: []*Query{{Op: OpSet, Set: UIDs(1, 2)}, {Op: OpSet, Set: UIDs(2, 4)}}}, []UID{2}},
		"and not set":            {Query{Op: OpAnd, Args: []*Query{{Op: OpNot, Args: []*Query{{Op: OpSet, Set: UIDs(1)}}}, {Op: OpSet, Set: UIDs(1, 2)}}}, []UID{2}},
		"empty set":              {Query{Op: OpAnd, Args: []*Query{{Op: OpSet}, {}}}, none},
		"empty and":              {Query{Op: OpAnd}, all},
		"empty or":               {Query{Op: OpOr}, none},
	} {
		require.Equal(t, c.want, found(t, v, &c.q), name)
	}
	require.Equal(t, all, found(t, v, nil))
}

// Queries that are malformed, or cost too much, are refused.
func TestBadQueries(t *testing.T) {
	v := selectInbox(t, inboxOf(t, 1))
	deep := &Query{}
	for range maxQueryDepth + 1 {
		deep = &Query{Op: OpNot, Args: []*Query{deep}}
	}
	for name, q := range map[string]*Query{
		"not without":  {Op: OpNot},
		"not of two":   {Op: OpNot, Args: []*Query{{}, {}}},
		"nil argument": {Op: OpAnd, Args: []*Query{nil}},
		"no such key":  {Op: 200},
		"deep":         deep,
		"wide":         {Op: OpOr, Args: make([]*Query, maxQueryKeys+1)},
	} {
		if name == "wide" {
			for i := range q.Args {
				q.Args[i] = &Query{Op: OpFlag, Text: "x"}
			}
		}
		n := 0
		for _, err := range v.Search(t.Context(), q) {
			require.ErrorIs(t, err, ErrBadQuery, name)
			n++
		}
		require.Equal(t, 1, n, name)
	}
}

// What is expunged elsewhere is found until the session is told; pages that
// cannot match are not read.
func TestSearchReadsWhatItMust(t *testing.T) {
	ctx := t.Context()
	count := blobtest.NewCounting(memblob.New(), kindOf)
	s, err := Open(ctx, count, Options{Password: cheap, CacheBytes: -1, PollInterval: -1})
	require.NoError(t, err)
	defer s.Close()
	a := newUser(t, s, "ann")
	fill(t, a, 20*state.PageRows)
	v, other := selectInbox(t, a), selectInbox(t, a)
	flagAll(t, other, All(), FlagsAdd, true, FlagSeen)
	flagAll(t, other, UIDs(300, 5000), FlagsAdd, true, FlagDeleted)
	flagAll(t, other, UIDs(4000), FlagsRemove, true, FlagSeen)
	require.NoError(t, snapshotNow(ctx, a.account))
	syncView(t, v, false)
	reads := func(q *Query) int {
		count.Reset()
		for _, err := range v.Search(ctx, q) {
			require.NoError(t, err)
		}
		return count.All()[blobtest.Class{Op: blobtest.OpOpen, Name: "pack"}].Calls
	}
	require.Equal(t, []UID{300, 5000}, found(t, v, &Query{Op: OpFlag, Text: FlagDeleted}))
	require.Equal(t, 2, reads(&Query{Op: OpFlag, Text: FlagDeleted}))
	require.Equal(t, 1, reads(&Query{Op: OpNot, Args: []*Query{{Op: OpFlag, Text: FlagSeen}}}))
	require.Equal(t, 1, reads(&Query{Op: OpAnd, Args: []*Query{{Op: OpFlag, Text: FlagDeleted}, {Op: OpSet, Set: UIDs(4900, 4999)}}}))
	require.Equal(t, 1, reads(&Query{Op: OpModSeq, N: int64(v.HighestModSeq())}))
	_, err = other.Expunge(ctx, nil)
	require.NoError(t, err)
	syncView(t, v, true)
	require.Equal(t, []UID{300, 5000}, found(t, v, &Query{Op: OpFlag, Text: FlagDeleted}), "until told")
	syncView(t, v, false)
	require.Empty(t, found(t, v, &Query{Op: OpFlag, Text: FlagDeleted}))
}

// A listing, and a snapshot, read each place of metadata once, also one that is
// too large for the cache.
func TestListingReadsMetadataOnce(t *testing.T) {
	ctx := t.Context()
	count := blobtest.NewCounting(memblob.New(), kindOf)
	s, err := Open(ctx, count, Options{Password: cheap, CacheBytes: -1, PollInterval: -1})
	require.NoError(t, err)
	defer s.Close()
	a := newUser(t, s, "ann")
	count.Reset()
	fill(t, a, 1000)
	require.LessOrEqual(t, count.Total(blobtest.OpOpen).Calls, 20, "the snapshot: %v", count)
	v := selectInbox(t, a)
	count.Reset()
	n := 0
	for m, err := range v.Messages(ctx, All()) {
		require.NoError(t, err)
		meta, err := m.Meta(ctx)
		require.NoError(t, err)
		require.Equal(t, "mail 1", message.ParseEnvelope(message.ParseHeader(meta.Header)).Subject)
		n++
	}
	require.Equal(t, 1000, n)
	require.LessOrEqual(t, count.Total(blobtest.OpOpen).Calls, 10, fmt.Sprint(count))
}
