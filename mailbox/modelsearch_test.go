package mailbox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
)

// listed is a message as the session's view shows it, with its text.
type listed struct {
	*Message
	text string
}

// search compares a random search with one that looks at every message.
func (w *world) search(s *session) {
	var all []listed
	for m, err := range s.view.Messages(w.ctx, All()) {
		require.NoError(w.t, err)
		text, ok := w.texts[place{s.view.UIDValidity(), m.UID}]
		require.True(w.t, ok)
		all = append(all, listed{m, text})
	}
	for range 5 {
		q, matches := w.query(s, all, 0)
		want, have := []UID{}, []UID{}
		for _, m := range all {
			if matches(m) {
				want = append(want, m.UID)
			}
		}
		for f, err := range s.view.Search(w.ctx, q) {
			require.NoError(w.t, err)
			require.Equal(w.t, all[f.Index].UID, f.UID)
			require.Equal(w.t, all[f.Index].ModSeq, f.ModSeq)
			have = append(have, f.UID)
		}
		require.Equal(w.t, want, have, "%v", q)
		w.done["found"] += len(have)
	}
}

// query draws a query and returns also what it means.
func (w *world) query(s *session, all []listed, depth int) (*Query, func(listed) bool) {
	if depth < 3 && w.rnd.IntN(2) == 0 {
		return w.compound(s, all, depth)
	}
	n := w.rnd.IntN(w.mails + 2)
	text := fmt.Sprintf("MAIL %d", n)
	low := func(m listed) string { return strings.ToLower(m.text) }
	header := func(m listed) string { h, _, _ := strings.Cut(low(m), "\r\n\r\n"); return h }
	body := func(m listed) string { _, b, _ := strings.Cut(low(m), "\r\n\r\n"); return b }
	switch w.rnd.IntN(12) {
	case 0:
		return &Query{}, func(listed) bool { return true }
	case 1, 2:
		set, uids := w.set(s)
		return &Query{Op: OpSet, Set: set}, func(m listed) bool { return slices.Contains(uids, m.UID) }
	case 3, 4, 5:
		flag := pick(w, append(modelFlags, "$Unknown"))
		return &Query{Op: OpFlag, Text: strings.ToUpper(flag)}, func(m listed) bool { return slices.Contains(m.Flags(), flag) }
	case 6:
		size := int64(100 + w.rnd.IntN(80))
		if w.rnd.IntN(2) == 0 {
			return &Query{Op: OpLarger, N: size}, func(m listed) bool { return int64(len(m.text)) > size }
		}
		return &Query{Op: OpSmaller, N: size}, func(m listed) bool { return int64(len(m.text)) < size }
	case 7:
		at := ModSeq(1)
		if len(all) > 0 {
			at = pick(w, all).ModSeq
		}
		return &Query{Op: OpModSeq, N: int64(at)}, func(m listed) bool { return m.ModSeq >= at }
	case 8:
		op := OpRecent + QueryOp(w.rnd.IntN(3))
		return &Query{Op: op}, func(m listed) bool {
			return m.Recent == (op != OpOld) && (op != OpNew || !slices.Contains(m.Flags(), FlagSeen))
		}
	case 9:
		return &Query{Op: OpHeader, Field: "SUBJECT", Text: text}, func(m listed) bool {
			return strings.Contains(header(m), "subject: mail "+fmt.Sprint(n))
		}
	case 10:
		return &Query{Op: OpBody, Text: text}, func(m listed) bool { return strings.Contains(body(m), strings.ToLower(text)) }
	default:
		return &Query{Op: OpText, Text: text}, func(m listed) bool { return strings.Contains(low(m), strings.ToLower(text)) }
	}
}

func (w *world) compound(s *session, all []listed, depth int) (*Query, func(listed) bool) {
	a, isA := w.query(s, all, depth+1)
	b, isB := w.query(s, all, depth+1)
	switch w.rnd.IntN(3) {
	case 0:
		return &Query{Op: OpNot, Args: []*Query{a}}, func(m listed) bool { return !isA(m) }
	case 1:
		return &Query{Op: OpAnd, Args: []*Query{a, b}}, func(m listed) bool { return isA(m) && isB(m) }
	default:
		return &Query{Op: OpOr, Args: []*Query{a, b}}, func(m listed) bool { return isA(m) || isB(m) }
	}
}
