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

var sortKeys = []string{"ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO", "RELEVANCY"}

// maxSortKeys is well above what has an effect: each criterion once.
const maxSortKeys = 32

// Sort takes the arguments of SORT.
func (p *Parser) Sort() *Sort {
	p.SP()
	s := &Sort{}
	if p.peekWord() == "RETURN" {
		p.Word()
		p.SP()
		if s.Return = p.searchReturn(); s.Return.Save {
			p.Fail("SAVE is for SEARCH")
		}
		p.SP()
	}
	relevancy := s.Return != nil && s.Return.Relevancy
	p.List(false, func() {
		k := SortKey{Name: p.Word()}
		if k.Name == "REVERSE" {
			p.SP()
			k = SortKey{p.Word(), true}
		}
		if !slices.Contains(sortKeys, k.Name) {
			p.Fail("unknown sort criterion")
		}
		relevancy = relevancy || k.Name == "RELEVANCY" // RFC 6203 section 6
		if s.Keys = append(s.Keys, k); len(s.Keys) > maxSortKeys {
			p.Fail("too many sort criteria")
		}
	})
	if fuzzy := p.charsetAndKeys(&s.Search); relevancy && !fuzzy {
		p.Fail("RELEVANCY needs FUZZY")
	}
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

// charsetAndKeys takes the charset, which must be given here, and search keys. It
// reports whether FUZZY was among them.
func (p *Parser) charsetAndKeys(s *Search) bool {
	p.SP()
	s.Charset = strings.ToUpper(p.AString())
	p.SP()
	keys := &keyParser{Parser: p}
	s.Key = keys.and(false)
	return keys.fuzzy
}
