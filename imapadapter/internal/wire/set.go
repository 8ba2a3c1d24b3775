package wire

import "strconv"

// Range is a run of numbers, both bounds included and in either order; 0 stands
// for "*", the last message.
type Range struct{ First, Last uint32 }

// Set is a sequence-set: sequence numbers or UIDs, and with Saved the "$" of RFC 5182.
type Set struct {
	Ranges []Range
	Saved  bool
}

// Set takes a sequence-set.
func (p *Parser) Set() Set {
	var s Set
	for !p.Failed() {
		if p.Try('$') {
			s.Saved = true
			if !p.Try(',') {
				break
			}
			continue
		}
		r := Range{First: p.setNumber()}
		r.Last = r.First
		if p.Try(':') {
			r.Last = p.setNumber()
		}
		s.Ranges = append(s.Ranges, r)
		if !p.Try(',') {
			break
		}
	}
	return s
}

func (p *Parser) setNumber() uint32 {
	if p.Try('*') {
		return 0
	}
	if c := p.Peek(); c < '0' || c > '9' {
		p.Fail("malformed set of messages")
		return 0
	}
	return p.NzNumber()
}

// UIDs takes a sequence-set without "*" and "$", such as a client's known UIDs
// (RFC 7162 section 7).
func (p *Parser) UIDs() []Range {
	s := p.Set()
	for _, r := range s.Ranges {
		if r.First == 0 || r.Last == 0 {
			p.Fail("* is not allowed here")
		}
	}
	if s.Saved {
		p.Fail("$ is not allowed here")
	}
	return s.Ranges
}

// Add appends a number that is above all in the ranges.
func Add(ranges []Range, n uint32) []Range {
	if k := len(ranges); k > 0 && ranges[k-1].Last+1 == n {
		ranges[k-1].Last = n
		return ranges
	}
	return append(ranges, Range{n, n})
}

func appendRanges(b []byte, ranges []Range) []byte {
	for i, r := range ranges {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(r.First), 10)
		if r.Last != r.First {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(r.Last), 10)
		}
	}
	return b
}
