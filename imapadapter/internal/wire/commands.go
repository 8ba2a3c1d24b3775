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
	"MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "SIZE", "APPENDLIMIT", "HIGHESTMODSEQ", "MAILBOXID",
}

// StatusItems takes the list of items of STATUS, also where LIST asks for it.
func (p *Parser) StatusItems() []string {
	var items []string
	p.List(false, func() { items = append(items, p.OneOf("an item of STATUS", statusItems...)) })
	return items
}
