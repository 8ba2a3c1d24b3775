package server

// noop handles NOOP and CHECK.
func (r *request) noop() error { return r.p.End() }

// identify handles ID (RFC 2971), also before a login. What a client says of itself is
// not kept.
func (r *request) identify() error {
	r.p.ID()
	if err := r.p.End(); err != nil {
		return err
	}
	r.w.Text(`* ID ("name" "letterlock")`)
	r.w.end()
	return nil
}

// enable handles ENABLE (RFC 5161): the answer has what is enabled now and was not
// before.
func (r *request) enable() error {
	names := r.p.Enable()
	if err := r.p.End(); err != nil {
		return err
	}
	e := &r.enabled
	before := *e
	r.w.Text("* ENABLED")
	set := func(name string, flag *bool) {
		if !*flag {
			r.w.Text(" ", name)
		}
		*flag = true
	}
	condstore := e.condstore
	for _, name := range names {
		switch name {
		case "IMAP4REV2":
			set("IMAP4rev2", &e.rev2)
		case "UTF8=ACCEPT":
			set(name, &e.utf8)
		case "CONDSTORE":
			set(name, &condstore)
		case "QRESYNC":
			set(name, &e.qresync)
		case "UIDONLY":
			set(name, &e.uidonly)
		}
	}
	r.w.end()
	e.condstore = condstore || e.qresync // RFC 7162 section 3.2.3
	if r.view != nil && e.condstore && !before.condstore {
		r.ok("HIGHESTMODSEQ "+num(r.view.HighestModSeq()), "Highest mod-sequence")
	}
	return nil
}

// knowsModSeq notes that the client knows mod-sequences. The first command that says so
// is answered with the one of the selected mailbox (RFC 7162 section 3.1).
func (r *request) knowsModSeq() {
	if !r.enabled.condstore && r.view != nil {
		r.ok("HIGHESTMODSEQ "+num(r.view.HighestModSeq()), "Highest mod-sequence")
	}
	r.enabled.condstore = true
}
