package wire

// List is what LIST says (RFC 9051 section 6.3.9, RFC 5258, RFC 5819, RFC 6154).
type List struct {
	Reference string
	Patterns  []string
	Extended  bool // it has something that RFC 5258 brought

	SelectSubscribed, SelectRemote, SelectRecursiveMatch, SelectSpecialUse bool
	ReturnSubscribed, ReturnChildren, ReturnSpecialUse                     bool
	ReturnStatus                                                           []string
}

// ListArgs takes the arguments of LIST.
func (p *Parser) ListArgs() *List {
	p.SP()
	l := &List{}
	if p.Peek() == '(' {
		l.Extended = true
		p.List(true, func() {
			switch p.OneOf("a selection option of LIST", "SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE") {
			case "SUBSCRIBED":
				l.SelectSubscribed = true
			case "REMOTE":
				l.SelectRemote = true
			case "RECURSIVEMATCH":
				l.SelectRecursiveMatch = true
			case "SPECIAL-USE":
				l.SelectSpecialUse = true
			}
		})
		p.SP()
	}
	l.Reference = p.Mailbox()
	p.SP()
	if p.Peek() == '(' {
		l.Extended = true
		p.List(false, func() { l.Patterns = append(l.Patterns, p.Pattern()) })
	} else {
		l.Patterns = []string{p.Pattern()}
	}
	if p.TrySP() {
		l.Extended = true
		p.Keyword("RETURN")
		p.SP()
		p.List(true, func() { p.listReturn(l) })
	}
	if l.SelectRecursiveMatch && !l.SelectSubscribed {
		p.Fail("RECURSIVEMATCH needs SUBSCRIBED")
	}
	return l
}

func (p *Parser) listReturn(l *List) {
	switch p.OneOf("a return option of LIST", "SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "STATUS") {
	case "SUBSCRIBED":
		l.ReturnSubscribed = true
	case "CHILDREN":
		l.ReturnChildren = true
	case "SPECIAL-USE":
		l.ReturnSpecialUse = true
	case "STATUS":
		p.SP()
		l.ReturnStatus = p.StatusItems()
	}
}
