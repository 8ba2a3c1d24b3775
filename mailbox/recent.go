package mailbox

// recentFrom returns the UID from which on messages have not been shown to a
// session, and with claim takes them for the caller.
func (a *account) recentFrom(m *Mailbox, claim bool) UID {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := max(m.recentFrom, a.recents[m.id])
	if claim {
		a.recents[m.id] = max(from, m.uidNext)
	}
	return from
}

// shown returns the events that note what has been shown to sessions since the
// log last said so. They ride along with what is written anyway: a mailbox that
// is only read costs no entry, at the price that a crash may make mail \Recent
// once more.
func (a *account) shown(s *state) []event {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.recents) == 0 {
		return nil
	}
	var out []event
	for _, m := range s.boxes {
		if from := a.recents[m.id]; from > m.recentFrom {
			out = append(out, &seenRecent{Mailbox: m.id, UID: min(from, m.uidNext)})
		}
	}
	// What the log says by now need not be remembered; s does not tell, as it may
	// hold records that are not in the log yet.
	kept := make(map[MailboxID]UID, len(a.recents))
	for _, m := range a.state().boxes {
		if from := a.recents[m.id]; from > m.recentFrom {
			kept[m.id] = from
		}
	}
	a.recents = kept
	return out
}
