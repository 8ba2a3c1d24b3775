package translate

import (
	"strings"
	"unicode/utf8"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// A QueryBuilder turns search keys into queries.
type QueryBuilder struct {
	// Set returns the messages that a client names.
	Set func(set wire.Set, uid bool) (mailbox.Set, error)
	// Exact makes FUZZY do nothing.
	Exact bool

	// ModSeq is set by Query if a key was MODSEQ.
	ModSeq bool
}

// Query returns a key as a query. Its depth is bounded by whoever made the key.
func (b *QueryBuilder) Query(k *wire.SearchKey) (*mailbox.Query, error) {
	if op, ok := groupOps[k.Name]; ok {
		q := &mailbox.Query{Op: op}
		for _, arg := range k.Args {
			a, err := b.Query(arg)
			if err != nil {
				return nil, err
			}
			q.Args = append(q.Args, a)
		}
		return q, nil
	}
	switch k.Name {
	case "SEQ", "UID":
		set, err := b.Set(k.Set, k.Name == "UID")
		return &mailbox.Query{Op: mailbox.OpSet, Set: set}, err
	case "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN":
		return &mailbox.Query{Op: mailbox.OpFlag, Text: `\` + k.Name}, nil
	case "KEYWORD":
		return &mailbox.Query{Op: mailbox.OpFlag, Text: k.Text}, nil
	case "EMAILID":
		return &mailbox.Query{Op: mailbox.OpEmailID, Text: strings.TrimPrefix(k.Text, "E")}, nil
	case "THREADID":
		return &mailbox.Query{Op: mailbox.OpThreadID, Text: strings.TrimPrefix(k.Text, "T")}, nil
	case "MODSEQ":
		b.ModSeq = true
		return &mailbox.Query{Op: mailbox.OpModSeq, N: int64(k.N)}, nil
	case "BCC", "CC", "FROM", "SUBJECT", "TO":
		return b.text(k, mailbox.Query{Op: mailbox.OpHeader, Field: k.Name})
	case "HEADER":
		return b.text(k, mailbox.Query{Op: mailbox.OpHeader, Field: k.Field})
	case "BODY":
		return b.text(k, mailbox.Query{Op: mailbox.OpBody})
	case "TEXT":
		return b.text(k, mailbox.Query{Op: mailbox.OpText})
	}
	return &mailbox.Query{Op: plainOps[k.Name], Time: k.Date, N: int64(k.N)}, nil
}

var groupOps = map[string]mailbox.QueryOp{"AND": mailbox.OpAnd, "OR": mailbox.OpOr, "NOT": mailbox.OpNot}

// plainOps are the keys whose argument is a date, a number or nothing.
var plainOps = map[string]mailbox.QueryOp{
	"ALL": mailbox.OpAll, "SAVEDATESUPPORTED": mailbox.OpAll, // RFC 8514 section 4.3: all mailboxes do
	"NEW": mailbox.OpNew, "OLD": mailbox.OpOld, "RECENT": mailbox.OpRecent,
	"BEFORE": mailbox.OpBefore, "ON": mailbox.OpOn, "SINCE": mailbox.OpSince,
	"SENTBEFORE": mailbox.OpSentBefore, "SENTON": mailbox.OpSentOn, "SENTSINCE": mailbox.OpSentSince,
	"SAVEDBEFORE": mailbox.OpSavedBefore, "SAVEDON": mailbox.OpSavedOn, "SAVEDSINCE": mailbox.OpSavedSince,
	"LARGER": mailbox.OpLarger, "SMALLER": mailbox.OpSmaller,
	"OLDER": mailbox.OpOlder, "YOUNGER": mailbox.OpYounger,
}

// text returns a key that looks for text. FUZZY text (RFC 6203) is found if all of
// its words are, in any order.
func (b *QueryBuilder) text(k *wire.SearchKey, q mailbox.Query) (*mailbox.Query, error) {
	if !utf8.ValidString(k.Text) || !utf8.ValidString(k.Field) {
		return nil, No("BADCHARSET (US-ASCII UTF-8)", "Text is not UTF-8")
	}
	q.Text = k.Text
	if k.Fuzzy && !b.Exact {
		return mailbox.AllWords(q), nil
	}
	return &q, nil
}
