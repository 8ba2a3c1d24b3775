package server

import (
	"slices"
	"strconv"

	"github.com/letterlock/letterlock/mailbox"
)

// status handles STATUS.
func (r *request) status() error {
	r.p.SP()
	name := r.p.Mailbox()
	r.p.SP()
	items := r.p.StatusItems()
	if err := r.p.End(); err != nil {
		return err
	}
	name, err := mailbox.CanonicalName(name)
	if err != nil {
		return r.fail(err)
	}
	status, err := r.account.Status(r.ctx, name)
	if err != nil {
		return r.fail(err)
	}
	if slices.Contains(items, "HIGHESTMODSEQ") {
		r.knowsModSeq()
	}
	r.writeStatus(name, &status, items)
	return nil
}

// writeStatus writes a STATUS response.
func (r *request) writeStatus(name string, st *mailbox.Status, items []string) {
	w := r.w
	w.Text("* STATUS ")
	w.Mailbox(name)
	w.Text(" (")
	for i, item := range items {
		if i > 0 {
			w.Text(" ")
		}
		if item == "DELETED-STORAGE" {
			w.Text(item, " ", num(uint64(r.deletedStorage(name, st))))
			continue
		}
		w.Text(item, " ", r.statusItem(st, item))
	}
	w.Text(")")
	w.end()
}

// deletedStorage returns how many bytes an expunge would free (RFC 9208 section
// 4.1.4).
func (r *request) deletedStorage(name string, st *mailbox.Status) int64 {
	if st.Deleted == 0 {
		return 0
	}
	n, err := r.account.DeletedStorage(r.ctx, name)
	if err != nil {
		r.warn(err)
	}
	return n
}

// statusItem returns what stands behind the name of an item of STATUS.
func (c *conn) statusItem(st *mailbox.Status, item string) string {
	switch item {
	case "MESSAGES":
		return strconv.Itoa(st.Messages)
	case "RECENT":
		return strconv.Itoa(st.Recent)
	case "UIDNEXT":
		return strconv.FormatUint(uint64(st.UIDNext), 10)
	case "UIDVALIDITY":
		return strconv.FormatUint(uint64(st.UIDValidity), 10)
	case "UNSEEN":
		return strconv.Itoa(st.Unseen)
	case "DELETED":
		return strconv.Itoa(st.Deleted)
	case "SIZE":
		return strconv.FormatInt(st.Size, 10)
	case "APPENDLIMIT":
		return strconv.FormatInt(c.o.AppendLimit, 10)
	case "HIGHESTMODSEQ":
		return strconv.FormatUint(uint64(st.HighestModSeq), 10)
	default: // MAILBOXID
		return "(" + mailboxID(st.ID) + ")"
	}
}

// mailboxID returns MAILBOXID (RFC 8474 section 4), which begins with a letter so
// that no client takes it for a number.
func mailboxID(id mailbox.MailboxID) string { return "M" + strconv.FormatUint(uint64(id), 10) }
