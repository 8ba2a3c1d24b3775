package wire

// Notify is what NOTIFY says (RFC 5465). With None all is off.
type Notify struct {
	None   bool
	Status bool // tell where the mailboxes stand now
	Groups []NotifyGroup
}

// NotifyGroup is some mailboxes, and what a client wants to hear of them.
type NotifyGroup struct {
	Filter    string   // SELECTED, SELECTED-DELAYED, INBOXES, PERSONAL, SUBSCRIBED, SUBTREE or MAILBOXES
	Mailboxes []string // of the last two
	Events    []string // in upper case; none for NONE
	Fetch     *Fetch   // of MESSAGENEW in the selected mailbox: what to tell of it
	Unknown   bool     // an event is not known
}

// NotifyEvents are the events that can be asked for, as they are spelled.
var NotifyEvents = []string{"MessageNew", "MessageExpunge", "FlagChange", "MailboxName", "SubscriptionChange"}

// Bounds of NOTIFY.
const (
	maxNotifyGroups    = 100
	maxNotifyMailboxes = 1000
)

// Notify takes the arguments of NOTIFY.
func (p *Parser) Notify() *Notify {
	p.SP()
	n := &Notify{}
	if n.None = p.Keyword("NONE", "SET") == "NONE"; n.None {
		return n
	}
	p.SP()
	if p.Peek() != '(' {
		p.Keyword("STATUS")
		n.Status = true
		p.SP()
	}
	for !p.Failed() {
		n.Groups = append(n.Groups, p.notifyGroup())
		if len(n.Groups) > maxNotifyGroups {
			p.Fail("too many groups of events")
		}
		if !p.TrySP() {
			break
		}
	}
	return n
}

func (p *Parser) notifyGroup() (g NotifyGroup) {
	p.Expect('(')
	g.Filter = p.Keyword("SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED", "SUBTREE", "MAILBOXES")
	p.SP()
	if g.Filter == "SUBTREE" || g.Filter == "MAILBOXES" {
		one := func() {
			if g.Mailboxes = append(g.Mailboxes, p.Mailbox()); len(g.Mailboxes) > maxNotifyMailboxes {
				p.Fail("too many mailboxes")
			}
		}
		if p.Peek() == '(' {
			p.List(false, one)
		} else {
			one()
		}
		p.SP()
	}
	if p.Peek() == '(' {
		p.List(false, func() { p.notifyEvent(&g) })
	} else {
		p.Keyword("NONE")
	}
	p.Expect(')')
	return g
}

func (p *Parser) notifyEvent(g *NotifyGroup) {
	name := p.Word()
	switch name {
	case "MESSAGENEW":
		if len(p.b)-p.i > 2 && string(p.b[p.i:p.i+2]) == " (" {
			p.SP()
			g.Fetch = &Fetch{}
			p.List(false, func() { p.fetchItem(g.Fetch, false) })
		}
	case "MESSAGEEXPUNGE", "FLAGCHANGE", "MAILBOXNAME", "SUBSCRIPTIONCHANGE":
	default:
		g.Unknown = true
	}
	g.Events = append(g.Events, name)
}
