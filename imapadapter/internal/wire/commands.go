package wire

// Bounds of ID (RFC 2971 section 3.3).
const (
	maxIDFields = 30
	maxIDName   = 30
	maxIDValue  = 1024
)

// ID takes the arguments of ID: what the client says of itself, which may be
// nothing.
func (p *Parser) ID() map[string]string {
	p.SP()
	if p.Peek() != '(' {
		p.Keyword("NIL")
		return nil
	}
	fields := map[string]string{}
	p.List(true, func() {
		name := p.String()
		p.SP()
		value, _ := p.NString()
		if len(fields) == maxIDFields || len(name) > maxIDName || len(value) > maxIDValue {
			p.Fail("too much in ID")
			return
		}
		fields[name] = value
	})
	return fields
}

// Items of STATUS (RFC 9051 section 6.3.11, RFC 7162, RFC 8474, RFC 7889, RFC 9208).
var statusItems = []string{
	"MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "SIZE", "APPENDLIMIT", "HIGHESTMODSEQ", "MAILBOXID", "DELETED-STORAGE",
}

// StatusItems takes the list of items of STATUS, also where LIST asks for it.
func (p *Parser) StatusItems() []string {
	var items []string
	p.List(false, func() { items = append(items, p.OneOf("an item of STATUS", statusItems...)) })
	return items
}

// Select is what SELECT and EXAMINE say.
type Select struct {
	Mailbox   string
	CondStore bool
	QResync   *QResync
}

// QResync is what a client that comes back knows of a mailbox (RFC 7162 section
// 3.2.5).
type QResync struct {
	UIDValidity uint32
	ModSeq      uint64
	Known       []Range // UIDs, or nil for all
	// MatchSeqs and MatchUIDs are parallel: sequence numbers and the UIDs that
	// they had.
	MatchSeqs, MatchUIDs []Range
}

// Select takes the arguments of SELECT and EXAMINE.
func (p *Parser) Select() *Select {
	p.SP()
	s := &Select{Mailbox: p.Mailbox()}
	if !p.TrySP() {
		return s
	}
	p.List(false, func() {
		switch p.OneOf("CONDSTORE or QRESYNC", "CONDSTORE", "QRESYNC") {
		case "CONDSTORE":
			s.CondStore = true
		case "QRESYNC":
			p.SP()
			if s.QResync != nil {
				p.Fail("QRESYNC is there twice")
			}
			s.QResync = p.qresync()
		}
	})
	return s
}

func (p *Parser) qresync() *QResync {
	p.Expect('(')
	q := &QResync{UIDValidity: p.NzNumber()}
	p.SP()
	q.ModSeq = p.Number64()
	if p.Try(' ') && p.Peek() != '(' {
		q.Known = p.UIDs()
		if !p.Try(' ') {
			p.Expect(')')
			return q
		}
	}
	if p.Try('(') {
		q.MatchSeqs = p.UIDs()
		p.SP()
		q.MatchUIDs = p.UIDs()
		p.Expect(')')
		if !p.Failed() && count(q.MatchSeqs) != count(q.MatchUIDs) {
			p.Fail("as many sequence numbers as UIDs are expected")
		}
	}
	p.Expect(')')
	return q
}

func count(ranges []Range) (n uint64) {
	for _, r := range ranges {
		n += uint64(max(r.First, r.Last)-min(r.First, r.Last)) + 1
	}
	return n
}

// Enable takes the arguments of ENABLE.
func (p *Parser) Enable() []string {
	var caps []string
	for !p.Failed() {
		p.SP()
		caps = append(caps, p.Word())
		if p.AtEnd() {
			break
		}
	}
	return caps
}

// Store is what STORE says.
type Store struct {
	Set            Set
	UnchangedSince *uint64
	Op             byte // '+', '-' or 0 to replace
	Silent         bool
	Flags          []string
}

// Store takes the arguments of STORE.
func (p *Parser) Store() *Store {
	p.SP()
	s := &Store{Set: p.Set()}
	p.SP()
	if p.Peek() == '(' {
		p.List(false, func() {
			p.Keyword("UNCHANGEDSINCE")
			p.SP()
			n := p.Number64()
			s.UnchangedSince = &n
		})
		p.SP()
	}
	for _, op := range []byte{'+', '-'} {
		if s.Op == 0 && p.Try(op) {
			s.Op = op
		}
	}
	s.Silent = p.Keyword("FLAGS", "FLAGS.SILENT") == "FLAGS.SILENT"
	p.SP()
	if p.Peek() == '(' {
		s.Flags = p.Flags()
		return s
	}
	for !p.Failed() {
		if s.Flags = append(s.Flags, p.Flag()); len(s.Flags) > maxFlags {
			p.Fail("too many flags")
		}
		if !p.TrySP() {
			break
		}
	}
	return s
}

// SetAndMailbox takes the arguments of COPY and MOVE.
func (p *Parser) SetAndMailbox() (Set, string) {
	p.SP()
	set := p.Set()
	p.SP()
	return set, p.Mailbox()
}

// Create takes the arguments of CREATE: a name, and special uses (RFC 6154).
func (p *Parser) Create() (name string, uses []string) {
	p.SP()
	name = p.NewMailbox()
	if p.TrySP() {
		p.List(false, func() {
			p.Keyword("USE")
			p.SP()
			uses = append(uses, p.Flags()...)
		})
	}
	return name, uses
}

// Append is what APPEND says before its message.
type Append struct {
	Mailbox string
	Message AppendMessage
}
