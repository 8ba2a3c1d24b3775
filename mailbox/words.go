package mailbox

import "strings"

// AllWords returns a query that matches where q would match each word of its text by
// itself, in any order (the FUZZY of RFC 6203). q looks for text: its Op is OpHeader,
// OpBody or OpText.
func AllWords(q Query) *Query {
	words := strings.Fields(q.Text)
	if len(words) < 2 {
		return &q
	}
	all := &Query{Op: OpAnd}
	for _, w := range words {
		one := q
		one.Text = w
		all.Args = append(all.Args, &one)
	}
	return all
}
