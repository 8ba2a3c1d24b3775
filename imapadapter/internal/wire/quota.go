package wire

// Quota takes the arguments of SETQUOTA (RFC 9208): a root, and limits by resource.
func (p *Parser) Quota() (root string, limits map[string]uint64) {
	p.SP()
	root = p.AString()
	p.SP()
	limits = map[string]uint64{}
	p.List(true, func() {
		name := p.Word()
		p.SP()
		limits[name] = p.Number64()
	})
	return root, limits
}
