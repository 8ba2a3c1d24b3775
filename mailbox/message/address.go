package message

import "strings"

// ParseAddresses reads an address list as ENVELOPE shows it: the text of a From,
// To or like field, unfolded. It never fails; see [Address] for what stands in
// for missing parts. Semicolons outside of a group separate addresses as commas
// do, a display name that holds an @ without quotes is understood if an address in
// angle brackets follows, and so is one before an address without brackets.
//
// No address is made up: a Mailbox is what stands before the @, and several words there
// are only one local part if dots join them (RFC 5322 section 4.4). The others are the
// display name.
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
	memory  [8]addressWord
}

// next reads one address, up to and with the comma after it, or one group mark.
func (p *addressParser) next() {
	p.comment = ""
	text := p.words(true)
	var a Address
	switch {
	case p.take('<'):
		a = p.angle(text.phrase(len(text)))
		p.words(false)
	case p.take(':'):
		if p.group {
			p.list = append(p.list, Address{}) // groups do not nest
		}
		p.group = true
		p.list = append(p.list, Address{Mailbox: orMissing(text.phrase(len(text)), MissingMailbox)})
		return
	case p.take('@'):
		before := text.phrase(len(text))
		a.Name, a.Mailbox = text.split()
		a.Host = p.host()
		if p.take('<') { // the name held an unquoted @
			a = p.angle(before + "@" + a.Host)
			p.words(false)
		}
	case len(text) == 1 && !isEncodedWord(text[0].text):
		a.Mailbox = text[0].text // such as "root"
	default:
		a.Name = text.phrase(len(text))
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

// angle reads [route ":"] addr-spec ">", after the "<". A word and a colon before the
// address, as in "<mailto:ann@example.org>", are passed over.
func (p *addressParser) angle(name string) Address {
	a := Address{Name: name}
	text := p.words(true)
	if len(text) == 0 && p.s != "" && (p.s[0] == '@' || p.s[0] == ',') {
		hops := p.hops()
		if p.take(':') {
			a.Route = "@" + strings.Join(hops, ",@")
			text = p.words(true)
		} else if len(hops) > 0 {
			a.Host = hops[0]
		}
	} else if p.take(':') {
		text = p.words(true)
	}
	var before string
	if p.take('@') || len(text) == 1 {
		before, a.Mailbox = text.split()
	} else {
		before = text.phrase(len(text))
	}
	a.Name = orMissing(a.Name, before)
	if a.Host == "" {
		a.Host = p.host()
	}
	p.take('>')
	a.Mailbox = orMissing(a.Mailbox, MissingMailbox)
	a.Host = orMissing(a.Host, MissingHost)
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
	text := p.words(false)
	n := min(1, len(text))
	for n < len(text) && (!text[n].gap || text.dot(n)) {
		n++
	}
	return text.joined(0, n)
}

func (p *addressParser) take(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// addressWord is an atom, a quoted string without its quotes, a domain literal, or an
// @ inside of a name.
type addressWord struct {
	text string
	gap  bool // blanks or a comment stand before it
}

// run is the words up to a special character.
type run []addressWord

// phrase returns the first n words as a display name, with one space where there were
// blanks.
func (r run) phrase(n int) string {
	if n == 1 {
		return r[0].text
	}
	var b strings.Builder
	for i, w := range r[:n] {
		if w.gap && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w.text)
	}
	return b.String()
}

// joined returns the words from a to b without blanks between them.
func (r run) joined(a, b int) string {
	if b-a == 1 {
		return r[a].text
	}
	var s strings.Builder
	for _, w := range r[a:b] {
		s.WriteString(w.text)
	}
	return s.String()
}

// dot reports whether a dot joins the word at i to the one before it.
func (r run) dot(i int) bool {
	return strings.HasSuffix(r[i-1].text, ".") || strings.HasPrefix(r[i].text, ".")
}

// split divides the words before an @ into a display name and the local part. If dots
// join all of them they are a local part, also with blanks among them (RFC 5322 section
// 4.4). Else only the last words are, up to a blank. An encoded-word is never one (RFC
// 2047 section 5).
func (r run) split() (name, mailbox string) {
	dots := 1
	for dots < len(r) && r.dot(dots) {
		dots++
	}
	at := 0
	if dots < len(r) {
		at = len(r) - 1
		for !r[at].gap && r.dot(at) {
			at--
		}
	}
	if at == len(r)-1 && isEncodedWord(r[at].text) {
		at = len(r)
	}
	return r.phrase(at), r.joined(at, len(r))
}

func isEncodedWord(s string) bool { return s != "" && encodedWordLen(s) == len(s) }

// words reads atoms, quoted strings, domain literals and comments up to the next
// special character. at says whether an @ is one. They are valid until the next call.
func (p *addressParser) words(at bool) run {
	list := p.memory[:0]
	gap := false
	add := func(text, rest string) {
		list = append(list, addressWord{text, gap})
		gap, p.s = false, rest
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
			add(quotedString(p.s))
		case '[':
			n := literalLen(p.s)
			add(p.s[:n], p.s[n:])
		case '<', '>', ',', ';', ':':
			return list
		case '@':
			if at {
				return list
			}
			add("@", p.s[1:])
		default:
			n := atomLen(p.s)
			add(p.s[:n], p.s[n:])
		}
	}
	return list
}

// atomLen returns the length of the atom that s begins with. An encoded-word is an atom
// of its own, whatever follows it.
func atomLen(s string) int {
	if n := encodedWordLen(s); n > 0 {
		return n
	}
	if n := strings.IndexAny(s[1:], " \t\r\n(\"[<>,;:@") + 1; n > 0 {
		return n
	}
	return len(s)
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
