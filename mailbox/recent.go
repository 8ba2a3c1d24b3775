package mailbox

import "github.com/letterlock/letterlock/mailbox/internal/state"

// RecentFrom returns the UID from which on messages have not been shown to a
// session, and with claim takes them for the caller.
func (a *account) recentFrom(m *state.Mailbox, claim bool) UID {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := max(m.RecentFrom, a.recents[m.ID])
	if claim {
		a.recents[m.ID] = max(from, m.UIDNext)
	}
	return from
}

// shown returns the events that note what has been shown to sessions since the
// log last said so. They ride along with what is written anyway: a mailbox that
// is only read costs no entry, at the price that a crash may make mail \Recent
// once more.
func (a *account) shown(s *state.Account) []state.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.recents) == 0 {
		return nil
	}
	var out []state.Event
	for _, m := range s.Mailboxes {
		if from := a.recents[m.ID]; from > m.RecentFrom {
			out = append(out, &state.ClearRecent{Mailbox: m.ID, UID: min(from, m.UIDNext)})
		}
	}
	// What the log says by now need not be remembered; s does not tell, as it may
	// hold records that are not in the log yet.
	kept := make(map[MailboxID]UID, len(a.recents))
	for _, m := range a.state().Mailboxes {
		if from := a.recents[m.ID]; from > m.RecentFrom {
			kept[m.ID] = from
		}
	}
	a.recents = kept
	return out
}
