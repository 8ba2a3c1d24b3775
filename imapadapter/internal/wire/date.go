package wire

import (
	"strconv"
	"strings"
	"time"
)

// Date takes a date such as 1-Feb-1994, quoted or not (RFC 9051 section 9, date).
func (p *Parser) Date() time.Time {
	quoted := p.Try('"')
	text := p.run("a date", func(b byte) bool { return atomChar(b) })
	if quoted {
		p.Expect('"')
	}
	return p.date(text)
}

// DateTime takes a date-time, such as " 1-Feb-1994 21:52:25 -0800" in quotes.
func (p *Parser) DateTime() time.Time {
	if p.Peek() != '"' {
		p.Fail("expected a date and time")
		return time.Time{}
	}
	text := strings.TrimPrefix(p.quoted(), " ")
	day, rest, _ := strings.Cut(text, " ")
	date := p.date(day)
	if p.err != nil {
		return time.Time{}
	}
	clock, err := time.Parse("15:04:05 -0700", rest)
	if err != nil {
		p.Fail("malformed time")
		return time.Time{}
	}
	y, m, d := date.Date()
	return time.Date(y, m, d, clock.Hour(), clock.Minute(), clock.Second(), 0, clock.Location())
}

func (p *Parser) date(text string) time.Time {
	if p.err != nil {
		return time.Time{}
	}
	day, rest, _ := strings.Cut(text, "-")
	month, year, _ := strings.Cut(rest, "-")
	d, err := strconv.ParseUint(day, 10, 8)
	if err == nil && len(day) <= 2 && len(year) == 4 {
		if t, err := time.Parse("2-Jan-2006", strconv.FormatUint(d, 10)+"-"+month+"-"+year); err == nil {
			return t
		}
	}
	p.Fail("malformed date")
	return time.Time{}
}
