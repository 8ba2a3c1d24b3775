package wire

import "time"

// AppendMessage is what APPEND says of one message, whose bytes follow.
type AppendMessage struct {
	Flags []string
	Date  time.Time // zero if none is given
	UTF8  bool      // in the form of RFC 6855 section 4
}

// Append takes the arguments of APPEND up to the announcement of the message,
// which is the end of the text.
func (p *Parser) Append() *Append {
	p.SP()
	a := &Append{Mailbox: p.Mailbox()}
	p.SP()
	a.Message = p.AppendMessage()
	return a
}

// Replace is what REPLACE says before its message (RFC 8508).
type Replace struct {
	Number  uint32 // of the message, or its UID; 0 stands for "*"
	Mailbox string
	Message AppendMessage
}

// Replace takes the arguments of REPLACE up to the announcement of the message.
func (p *Parser) Replace() *Replace {
	p.SP()
	r := &Replace{Number: p.setNumber()}
	p.SP()
	r.Mailbox = p.Mailbox()
	p.SP()
	r.Message = p.AppendMessage()
	return r
}

// AppendMessage takes what stands before a message, and its announcement.
func (p *Parser) AppendMessage() AppendMessage {
	var m AppendMessage
	if p.Peek() == '(' {
		m.Flags = p.Flags()
		p.SP()
	}
	if p.Peek() == '"' {
		m.Date = p.DateTime()
		p.SP()
	}
	if c := p.Peek(); c != '{' && c != '~' {
		p.Keyword("UTF8")
		p.SP()
		p.Expect('(')
		m.UTF8 = true
		if p.Peek() != '~' {
			p.Fail("expected a literal8")
		}
	}
	p.Try('~')
	p.Expect('{')
	p.Number64()
	p.Try('+')
	p.Expect('}')
	return m
}
