package server

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
)

// notified is what a client is notified of without asking (RFC 5465). One watch of the
// account serves all mailboxes: what happened is found by comparing what is known
// of them, which the state answers without reading a message.
type notified struct {
	groups []wire.NotifyGroup
	watch  *mailbox.Watch
	boxes  map[mailbox.MailboxID]knownMailbox
	subs   map[string]bool // names that are subscribed to
}

// knownMailbox is what a client was notified of about a mailbox, or might know.
type knownMailbox struct {
	name     string
	messages int
	uidNext  mailbox.UID
	modseq   mailbox.ModSeq
}

// notify handles NOTIFY.
func (r *request) notify() error {
	args := r.p.Notify()
	if err := r.p.End(); err != nil {
		return err
	}
	if err := checkNotify(args); err != nil {
		return err
	}
	for _, g := range args.Groups {
		for i, name := range g.Mailboxes {
			if name, err := mailbox.CanonicalName(name); err == nil { // no other can come to be
				g.Mailboxes[i] = name
			}
		}
	}
	r.stopNotify()
	if args.None {
		return nil
	}
	n := &notified{groups: args.Groups, watch: r.account.WatchFunc(r.wake)}
	infos, err := r.account.Mailboxes(r.ctx)
	if err != nil {
		n.watch.Close()
		return r.fail(err)
	}
	r.notified = n
	n.boxes, n.subs = snapshot(infos)
	if args.Status {
		for i := range infos {
			if info := &infos[i]; info.Exists && n.wants(info.Name, n.subs[info.Name], "MESSAGENEW") && !r.isSelected(info.ID) {
				r.writeNewStatus(info)
			}
		}
	}
	return nil
}

// stopNotify ends what NOTIFY began.
func (c *conn) stopNotify() {
	if c.notified != nil {
		c.notified.watch.Close()
		c.notified = nil
	}
}

// checkNotify refuses what RFC 5465 does not allow (sections 5.2, 5.3, 6.1 and 8).
func checkNotify(args *wire.Notify) error {
	one := false
	for _, g := range args.Groups {
		has := func(e string) bool { return slices.Contains(g.Events, e) }
		selected := strings.HasPrefix(g.Filter, "SELECTED")
		switch {
		case g.Unknown:
			return no(imap.ResponseCode("BADEVENT ("+strings.Join(wire.NotifyEvents, " ")+")"), "An event is not supported")
		case has("MESSAGENEW") != has("MESSAGEEXPUNGE"):
			return bad("MessageNew and MessageExpunge go together")
		case has("FLAGCHANGE") && !has("MESSAGENEW"):
			return bad("FlagChange needs MessageNew and MessageExpunge")
		case g.Fetch != nil && !selected:
			return bad("FETCH attributes are for the selected mailbox only")
		case selected && (has("MAILBOXNAME") || has("SUBSCRIPTIONCHANGE")):
			return bad("The selected mailbox has events of messages only")
		case selected && one:
			return bad("The selected mailbox can be named once")
		}
		one = one || selected
	}
	return nil
}

func snapshot(infos []mailbox.MailboxInfo) (map[mailbox.MailboxID]knownMailbox, map[string]bool) {
	boxes, subs := map[mailbox.MailboxID]knownMailbox{}, map[string]bool{}
	for i := range infos {
		info := &infos[i]
		if info.Exists {
			boxes[info.ID] = knownMailbox{info.Name, info.Messages, info.UIDNext, info.HighestModSeq}
		}
		if info.Subscribed {
			subs[info.Name] = true
		}
	}
	return boxes, subs
}

// wants reports whether the client wants an event of a mailbox that is not selected: the
// first group that has the mailbox decides.
func (n *notified) wants(name string, subscribed bool, event string) bool {
	for _, g := range n.groups {
		in := false
		switch g.Filter {
		case "INBOXES":
			in = name == mailbox.Inbox
		case "PERSONAL":
			in = true
		case "SUBSCRIBED":
			in = subscribed
		case "MAILBOXES":
			in = slices.Contains(g.Mailboxes, name)
		case "SUBTREE":
			in = slices.ContainsFunc(g.Mailboxes, func(top string) bool {
				return name == top || strings.HasPrefix(name, top+string(mailbox.Separator))
			})
		}
		if in {
			return slices.Contains(g.Events, event)
		}
	}
	return false
}

// selected returns what is wanted of the selected mailbox, nil for what every client
// gets at the end of its commands.
func (n *notified) selected() *wire.NotifyGroup {
	for i := range n.groups {
		if g := &n.groups[i]; strings.HasPrefix(g.Filter, "SELECTED") && slices.Contains(g.Events, "MESSAGENEW") {
			return g
		}
	}
	return nil
}

func (r *request) isSelected(id mailbox.MailboxID) bool {
	return r.view != nil && r.view.ID() == id
}

// notifyEvents writes the events that the client asked NOTIFY for. Trouble in finding out
// is logged; the next change looks again.
func (r *request) notifyEvents() {
	n := r.notified
	if r.view != nil {
		if g := n.selected(); g != nil {
			r.notifySelected(g)
		}
	}
	infos, err := r.account.Mailboxes(r.ctx)
	if err != nil {
		r.warn(err)
		return
	}
	was, wasSub := n.boxes, n.subs
	n.boxes, n.subs = snapshot(infos)
	for i := range infos {
		info := &infos[i]
		if info.Exists {
			old, known := was[info.ID]
			r.notifyMailbox(info, old, known)
		}
	}
	r.notifyGone(was)
	r.notifySubscriptions(wasSub)
}

// notifySelected writes what happened in the selected mailbox, and what is asked for of
// the messages that came.
func (r *request) notifySelected(g *wire.NotifyGroup) {
	from := r.view.UIDNext()
	changes := r.update(g.Filter == "SELECTED-DELAYED")
	if g.Fetch == nil || !changes.ExistsChanged || r.view.UIDNext() == from {
		return
	}
	o := *g.Fetch
	o.Sections, o.Binaries = peeking(o.Sections), peeking(o.Binaries)
	o.UID = o.UID || !r.enabled.uidonly
	f := newFetch(r, &o)
	came := mailbox.Range{First: uint32(from), Last: uint32(r.view.UIDNext() - 1)}
	if err := f.serve(mailbox.Set{Ranges: []mailbox.Range{came}, UID: true}); err != nil {
		r.warn(err)
	}
}

// peeking makes sections be read without setting \Seen.
func peeking(in []wire.Section) []wire.Section {
	out := slices.Clone(in)
	for i := range out {
		out[i].Peek = true
	}
	return out
}

// notifyMailbox writes what happened to a mailbox that is there.
func (r *request) notifyMailbox(info *mailbox.MailboxInfo, old knownMailbox, known bool) {
	n := r.notified
	wants := func(event string) bool { return n.wants(info.Name, n.subs[info.Name], event) }
	switch {
	case !known && wants("MAILBOXNAME"):
		r.writeName(info.Name, "", "")
	case known && old.name != info.Name && (wants("MAILBOXNAME") || n.wants(old.name, n.subs[old.name], "MAILBOXNAME")):
		r.writeName(info.Name, "", old.name)
	}
	if r.isSelected(info.ID) {
		return
	}
	counts := info.Messages != old.messages || info.UIDNext != old.uidNext
	switch {
	case known && info.HighestModSeq == old.modseq, !known && info.Messages == 0:
	case counts && wants("MESSAGENEW"), !counts && wants("FLAGCHANGE"):
		r.writeNewStatus(info)
	}
}

// notifyGone writes which mailboxes are no more.
func (r *request) notifyGone(was map[mailbox.MailboxID]knownMailbox) {
	n := r.notified
	var names []string
	for id, old := range was {
		if _, there := n.boxes[id]; !there && n.wants(old.name, n.subs[old.name], "MAILBOXNAME") {
			names = append(names, old.name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		r.writeName(name, `\NonExistent`, "")
	}
}

// notifySubscriptions writes which names are subscribed to now, and which no more.
func (r *request) notifySubscriptions(was map[string]bool) {
	n := r.notified
	var names []string
	for name := range n.subs {
		if !was[name] {
			names = append(names, name)
		}
	}
	for name := range was {
		if !n.subs[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	exists := map[string]bool{}
	for _, box := range n.boxes {
		exists[box.name] = true
	}
	for _, name := range names {
		if !n.wants(name, true, "SUBSCRIPTIONCHANGE") {
			continue
		}
		var attrs []string
		if !exists[name] {
			attrs = append(attrs, `\NonExistent`)
		}
		if n.subs[name] {
			attrs = append(attrs, `\Subscribed`)
		}
		r.writeName(name, strings.Join(attrs, " "), "")
	}
}

// writeName writes a LIST response.
func (r *request) writeName(name, attr, old string) {
	w := r.w
	w.Text("* LIST (", attr, `) "/" `)
	w.Mailbox(name)
	if old != "" { // RFC 5465 section 5.4
		w.Text(` ("OLDNAME" (`)
		w.Mailbox(old)
		w.Text("))")
	}
	w.end()
}

// writeNewStatus writes where a mailbox stands. A client that wants changes of flags gets
// the mod-sequence, by which it can ask for them (RFC 5465 section 5.3).
func (r *request) writeNewStatus(info *mailbox.MailboxInfo) {
	items := []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN"}
	if r.enabled.condstore || r.notified.wants(info.Name, r.notified.subs[info.Name], "FLAGCHANGE") {
		items = append(items, "HIGHESTMODSEQ")
	}
	r.writeStatus(info.Name, &info.Status, items)
}
