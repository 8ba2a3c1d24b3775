package wire

import (
	"slices"
	"strings"
)

// Sort is what SORT says (RFC 5256, RFC 5267).
type Sort struct {
	Keys   []SortKey
	Search // its Return has no Save
}

// SortKey is a criterion and its direction.
type SortKey struct {
	Name    string
	Reverse bool
}

var sortKeys = []string{"ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"}

// maxSortKeys is well above what has an effect: each criterion once.
const maxSortKeys = 32

// Sort takes the arguments of SORT.
func (p *Parser) Sort() *Sort {
	p.SP()
	s := &Sort{}
	if p.peekWord() == "RETURN" {
		p.Word()
		p.SP()
		if s.Return = p.searchReturn(); s.Return.Save || s.Return.Relevancy {
			p.Fail("SAVE and RELEVANCY are for SEARCH")
		}
		p.SP()
	}
	p.List(false, func() {
		k := SortKey{Name: p.Word()}
		if k.Name == "REVERSE" {
			p.SP()
			k = SortKey{p.Word(), true}
		}
		if !slices.Contains(sortKeys, k.Name) {
			p.Fail("unknown sort criterion")
		}
		if s.Keys = append(s.Keys, k); len(s.Keys) > maxSortKeys {
			p.Fail("too many sort criteria")
		}
	})
	p.charsetAndKeys(&s.Search)
	return s
}

// Thread is what THREAD says (RFC 5256).
type Thread struct {
	Algorithm string
	Search
}

// Thread takes the arguments of THREAD.
func (p *Parser) Thread() *Thread {
	p.SP()
	t := &Thread{Algorithm: p.Keyword("ORDEREDSUBJECT", "REFERENCES")}
	p.charsetAndKeys(&t.Search)
	return t
}

// charsetAndKeys takes the charset, which must be given here, and search keys.
func (p *Parser) charsetAndKeys(s *Search) {
	p.SP()
	s.Charset = strings.ToUpper(p.AString())
	p.SP()
	s.Key = (&keyParser{Parser: p}).and()
}
