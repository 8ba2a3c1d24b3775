package message

import "strings"

// ParseAddresses reads an address list as ENVELOPE shows it: the text of a From,
// To or like field, unfolded. It never fails; see [Address] for what stands in
// for missing parts. Semicolons outside of a group separate addresses as commas
// do, and a display name that holds an @ without quotes is understood if an
// address in angle brackets follows.
func ParseAddresses(text string) []Address { return appendAddresses(nil, text) }

func appendAddresses(list []Address, text string) []Address {
	p := addressParser{s: text, list: list}
	for p.s != "" && len(p.list) < MaxAddresses-2 { // next may add two, and the end of a group
		p.next()
	}
	if p.group {
		p.list = append(p.list, Address{})
	}
	return p.list
}

type addressParser struct {
	s       string
	list    []Address
	group   bool
	comment string // the last one since the address began
}

// next reads one address, up to and with the comma after it, or one group mark.
func (p *addressParser) next() {
	p.comment = ""
	text := p.words(true)
	phrase := text.phrase
	var a Address
	switch {
	case p.take('<'):
		a = p.angle()
		a.Name = phrase
		p.words(false)
	case p.take(':'):
		if p.group {
			p.list = append(p.list, Address{}) // groups do not nest
		}
		p.group = true
		p.list = append(p.list, Address{Mailbox: orMissing(phrase, MissingMailbox)})
		return
	case p.take('@'):
		a = Address{Mailbox: text.joined, Host: p.host()}
		if p.take('<') { // the name held an unquoted @
			name := phrase + "@" + a.Host
			a = p.angle()
			a.Name = name
			p.words(false)
		}
	default:
		a = Address{Mailbox: phrase}
	}
	if a != (Address{}) {
		a.Name = orMissing(a.Name, p.comment)
		a.Mailbox = orMissing(a.Mailbox, MissingMailbox)
		a.Host = orMissing(a.Host, MissingHost)
		p.list = append(p.list, a)
	}
	p.separator()
}

// separator consumes what ended the address, so that every call of next gets on.
func (p *addressParser) separator() {
	if p.s == "" {
		return
	}
	if p.s[0] == ';' && p.group {
		p.group = false
		p.list = append(p.list, Address{})
	}
	p.s = p.s[1:]
}

// angle reads [route ":"] addr-spec ">", after the "<".
func (p *addressParser) angle() Address {
	var a Address
	a.Mailbox = p.words(true).joined
	if a.Mailbox == "" && p.s != "" && (p.s[0] == '@' || p.s[0] == ',') {
		hops := p.hops()
		if p.take(':') {
			a.Route = "@" + strings.Join(hops, ",@")
			a.Mailbox = p.words(true).joined
		} else if len(hops) > 0 {
			a.Host = hops[0]
		}
	}
	if p.take('@') {
		a.Host = p.host()
	}
	p.take('>')
	if a == (Address{}) {
		a.Mailbox, a.Host = MissingMailbox, MissingHost // "<>"
	}
	return a
}

// hops reads the hosts of a source route, each after an @, with commas between.
func (p *addressParser) hops() []string {
	var list []string
	for {
		for p.take(',') {
			p.words(true)
		}
		if !p.take('@') {
			return list
		}
		list = append(list, p.host())
	}
}

// host reads a domain, whose dots may have blanks around them (RFC 5322 section
// 4.4). Words after it are dropped.
func (p *addressParser) host() string {
	text := p.words(false).phrase
	for _, dot := range []string{" .", ". "} {
		text = strings.ReplaceAll(text, dot, ".")
	}
	host, _, _ := strings.Cut(text, " ")
	return host
}

func (p *addressParser) take(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// run is a run of words: as a phrase with one space where there were blanks, and
// joined without blanks, as a local part or a host.
type run struct{ phrase, joined string }

// words reads atoms, quoted strings, domain literals and comments up to the next
// special character. at says whether an @ is one.
func (p *addressParser) words(at bool) run {
	var phrase, joined strings.Builder
	gap := false
	add := func(w string) {
		if gap && phrase.Len() > 0 {
			phrase.WriteByte(' ')
		}
		gap = false
		phrase.WriteString(w)
		joined.WriteString(w)
	}
	for p.s != "" {
		switch c := p.s[0]; c {
		case ' ', '\t', '\r', '\n':
			gap = true
			p.s = p.s[1:]
		case '(':
			n := commentLen(p.s)
			p.comment = commentText(p.s[:n])
			p.s = p.s[n:]
			gap = true
		case '"':
			var w string
			w, p.s = quotedString(p.s)
			add(w)
		case '[':
			n := literalLen(p.s)
			add(p.s[:n])
			p.s = p.s[n:]
		case '<', '>', ',', ';', ':':
			return run{phrase.String(), joined.String()}
		case '@':
			if at {
				return run{phrase.String(), joined.String()}
			}
			add("@")
			p.s = p.s[1:]
		default:
			n := strings.IndexAny(p.s[1:], " \t\r\n(\"[<>,;:@") + 1
			if n == 0 {
				n = len(p.s)
			}
			add(p.s[:n])
			p.s = p.s[n:]
		}
	}
	return run{phrase.String(), joined.String()}
}

// literalLen returns the length of the domain literal that s begins with, or 1 if
// it has no end.
func literalLen(s string) int {
	if i := strings.IndexAny(s[1:], "[]<>,"); i >= 0 && s[1+i] == ']' {
		return i + 2
	}
	return 1
}

// commentText returns what is inside the parentheses, without backslashes.
func commentText(s string) string {
	s = strings.TrimSuffix(s[1:], ")")
	if !strings.Contains(s, `\`) {
		return strings.TrimSpace(s)
	}
	text, _ := quotedString(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	return strings.TrimSpace(text)
}

func orMissing(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}
