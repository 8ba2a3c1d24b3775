package wire

import (
	"strings"
	"time"
)

// Search is what SEARCH says.
type Search struct {
	Return  *SearchReturn // nil without RETURN: the answer is a SEARCH response
	Charset string        // upper case, or empty
	Key     *SearchKey
}

// SearchReturn is what RETURN asks for (RFC 9051 section 6.4.4, RFC 9394, RFC
// 6203). RETURN () is ALL.
type SearchReturn struct {
	Min, Max, All, Count, Save, Relevancy bool
	Partial                               *PartialRange
}

// SearchKey is a search key, or several that must all hold: then Name is AND.
// NOT and OR have their arguments in Args. The UN- forms are NOT of the others.
type SearchKey struct {
	Name  string // of RFC 9051 section 6.4.4 in upper case; SEQ for a set of sequence numbers
	Args  []*SearchKey
	Set   Set       // of SEQ and UID
	Text  string    // of those for strings and keywords, HEADER, EMAILID, THREADID
	Field string    // of HEADER
	Date  time.Time // of those for dates
	N     uint64    // of LARGER, SMALLER, OLDER, YOUNGER and MODSEQ
	Fuzzy bool      // RFC 6203
}

// maxKeys bounds the keys of one search.
const maxKeys = 1000

// Search takes the arguments of SEARCH.
func (p *Parser) Search() *Search {
	p.SP()
	s := &Search{}
	keys := &keyParser{Parser: p}
	if w := p.peekWord(); w == "RETURN" {
		p.Word()
		p.SP()
		s.Return = p.searchReturn()
		p.SP()
	}
	if w := p.peekWord(); w == "CHARSET" {
		p.Word()
		p.SP()
		s.Charset = strings.ToUpper(p.AString())
		p.SP()
	}
	s.Key = keys.and(false)
	if s.Return != nil && s.Return.Relevancy && !keys.fuzzy {
		p.Fail("RELEVANCY needs FUZZY")
	}
	return s
}

// peekWord returns the word that is next, in upper case, or the empty string.
func (p *Parser) peekWord() string {
	at, err := p.i, p.err
	w := p.Word()
	p.i, p.err = at, err
	return w
}

func (p *Parser) searchReturn() *SearchReturn {
	r := &SearchReturn{}
	some := false
	p.List(true, func() {
		some = true
		switch p.OneOf("a return option of SEARCH", "MIN", "MAX", "ALL", "COUNT", "SAVE", "RELEVANCY", "PARTIAL") {
		case "MIN":
			r.Min = true
		case "MAX":
			r.Max = true
		case "ALL":
			r.All = true
		case "COUNT":
			r.Count = true
		case "SAVE":
			r.Save = true
		case "RELEVANCY":
			r.Relevancy = true
		case "PARTIAL":
			p.SP()
			r.Partial = p.PartialRange()
		}
	})
	if r.All && r.Partial != nil {
		p.Fail("ALL and PARTIAL exclude each other") // RFC 9394 section 3.1
	}
	r.All = r.All || !some
	return r
}

// keyParser takes search keys.
type keyParser struct {
	*Parser
	keys  int
	fuzzy bool // FUZZY was among them
}

// and takes keys up to the end or a closing parenthesis.
func (p *keyParser) and(fuzzy bool) *SearchKey {
	all := &SearchKey{Name: "AND"}
	for !p.Failed() {
		all.Args = append(all.Args, p.key(fuzzy))
		if p.Peek() == ')' || !p.TrySP() {
			break
		}
	}
	if len(all.Args) == 1 {
		return all.Args[0]
	}
	return all
}

func (p *keyParser) key(fuzzy bool) *SearchKey {
	p.enter()
	defer func() { p.depth-- }()
	if p.keys++; p.keys > maxKeys {
		p.Fail("too many search keys")
	}
	switch c := p.Peek(); {
	case c == '(':
		p.i++
		k := p.and(fuzzy)
		p.Expect(')')
		return k
	case c == '$' || c == '*' || '0' <= c && c <= '9':
		return &SearchKey{Name: "SEQ", Set: p.Set()}
	}
	name := p.Word()
	k := &SearchKey{Name: name, Fuzzy: fuzzy}
	switch name {
	case "ALL", "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "NEW", "OLD", "RECENT", "SEEN", "SAVEDATESUPPORTED":
	case "UNANSWERED", "UNDELETED", "UNDRAFT", "UNFLAGGED", "UNSEEN":
		return not(&SearchKey{Name: name[2:]})
	case "FUZZY":
		p.SP()
		p.fuzzy = true
		return p.key(true)
	case "NOT":
		p.SP()
		return not(p.key(fuzzy))
	case "OR":
		p.SP()
		a := p.key(fuzzy)
		p.SP()
		k.Args = []*SearchKey{a, p.key(fuzzy)}
	case "KEYWORD", "UNKEYWORD":
		p.SP()
		k.Name, k.Text = "KEYWORD", p.Flag()
		if name == "UNKEYWORD" {
			return not(k)
		}
	case "MODSEQ":
		p.SP()
		k.N = p.modseq()
	default:
		p.argument(k)
	}
	return k
}

func not(k *SearchKey) *SearchKey { return &SearchKey{Name: "NOT", Args: []*SearchKey{k}} }

// argument takes the argument of a key that has one.
func (p *keyParser) argument(k *SearchKey) {
	switch k.Name {
	case "BCC", "BODY", "CC", "FROM", "SUBJECT", "TEXT", "TO", "EMAILID", "THREADID":
		p.SP()
		k.Text = p.AString()
	case "HEADER":
		p.SP()
		k.Field = p.AString()
		p.SP()
		k.Text = p.AString()
	case "BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE", "SAVEDBEFORE", "SAVEDON", "SAVEDSINCE":
		p.SP()
		k.Date = p.Date()
	case "LARGER", "SMALLER":
		p.SP()
		k.N = p.Number64()
	case "OLDER", "YOUNGER":
		p.SP()
		k.N = uint64(p.NzNumber())
	case "UID":
		p.SP()
		k.Set = p.Set()
	default:
		p.Fail("unknown search key")
	}
}

// modseq takes the argument of MODSEQ (RFC 7162 section 3.1.5). The name and the
// type of an entry, which only matter where flags have mod-sequences of their
// own, are read and dropped.
func (p *keyParser) modseq() uint64 {
	if p.Peek() == '"' {
		if !strings.HasPrefix(p.quoted(), "/flags/") {
			p.Fail("unknown entry in MODSEQ")
		}
		p.SP()
		p.Keyword("PRIV", "SHARED", "ALL")
		p.SP()
	}
	return p.Number64()
}
