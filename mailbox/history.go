package mailbox

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// LogEntry is one entry of an account's log.
type LogEntry struct {
	eventlog.EntryInfo
	// Events says in words what the entry did. Only [Account.Log] knows; names of
	// mailboxes and flags are in it, nothing of a message is.
	Events []string
}

// Log yields the entries of an account's log after a position: what whoever holds
// the store can tell of them. It needs no secret, and fails with [ErrNoAccount].
// A damaged entry is yielded with its error, and the next one follows.
func (s *Store) Log(ctx context.Context, name string, after eventlog.Position) iter.Seq2[LogEntry, error] {
	return func(yield func(LogEntry, error) bool) {
		log, err := s.logOf(ctx, name)
		if err != nil {
			yield(LogEntry{}, err)
			return
		}
		for info, err := range log.List(ctx, after) {
			if !yield(LogEntry{EntryInfo: info}, err) {
				return
			}
		}
	}
}

// Log yields the entries of the account's log after a position, with what they
// did. A damaged entry is yielded with its error, and the next one follows.
func (h *Account) Log(ctx context.Context, after eventlog.Position) iter.Seq2[LogEntry, error] {
	return func(yield func(LogEntry, error) bool) {
		a, err := h.use()
		if err != nil {
			yield(LogEntry{}, err)
			return
		}
		defer a.leave()
		for info, err := range a.log.List(ctx, after) {
			out := LogEntry{EntryInfo: info}
			if err == nil {
				out.Events, err = a.events(ctx, info.Pos)
			}
			if !yield(out, err) {
				return
			}
		}
	}
}

// events says what an entry did.
func (a *account) events(ctx context.Context, at eventlog.Position) ([]string, error) {
	entry, err := a.log.ShowEntry(ctx, at)
	if err != nil {
		return nil, err
	}
	if entry.Junk != nil {
		return []string{"junk: passed over"}, nil
	}
	var out []string
	for _, record := range entry.Records {
		e, err := state.DecodeEvent(record)
		switch {
		case err == nil:
			out = append(out, describe(e)...)
		case errors.Is(err, eventlog.ErrNewerVersion):
			out = append(out, fmt.Sprintf("event of kind %d, of a newer version", record[0]))
		default:
			out = append(out, "malformed record")
		}
	}
	return out, nil
}

// describe says in words what an event does.
func describe(e state.Event) []string {
	text := fmt.Sprintf("event of kind %d", e.Kind())
	switch e := e.(type) {
	case *state.Genesis:
		text = fmt.Sprintf("begin: INBOX with UIDVALIDITY %d", e.UIDValidity)
	case *state.CreateMailbox:
		text = fmt.Sprintf("create mailbox %q", e.Name)
	case *state.DeleteMailbox:
		text = fmt.Sprintf("delete mailbox %d", e.Mailbox)
	case *state.RenameMailbox:
		text = fmt.Sprintf("rename mailbox %d to %q", e.Mailbox, e.Name)
	case *state.Subscribe:
		text = fmt.Sprintf("subscribe %q: %v", e.Name, e.On)
	case *state.AddMessages:
		text = fmt.Sprintf("add %d messages to mailbox %d", len(e.Messages), e.Mailbox)
	case *state.Deliver:
		text = fmt.Sprintf("deliver %d messages to folder %q", len(e.Messages), e.Folder)
	case *state.ChangeFlags:
		text = fmt.Sprintf("%v flags %s of %d messages in mailbox %d", e.Op, strings.Join(e.Flags, " "), e.UIDs.Count(), e.Mailbox)
	case *state.ExpungeMessages:
		text = fmt.Sprintf("expunge %d messages from mailbox %d", e.UIDs.Count(), e.Mailbox)
	case *state.CopyMessages:
		word := "copy"
		if e.Move {
			word = "move"
		}
		text = fmt.Sprintf("%s %d messages from mailbox %d to mailbox %d", word, e.UIDs.Count(), e.From, e.To)
	case *state.ClearRecent:
		text = fmt.Sprintf("messages of mailbox %d below UID %d were shown", e.Mailbox, e.UID)
	case *state.ImportMessages:
		text = fmt.Sprintf("import %d messages to mailbox %d", len(e.Messages), e.Mailbox)
	case *state.RenewAll:
		text = fmt.Sprintf("restored from an older state: UIDVALIDITY %d and on", e.UIDValidity)
	case *state.RenewMailbox:
		text = fmt.Sprintf("begin mailbox %d anew with UIDVALIDITY %d", e.Mailbox, e.UIDValidity)
	case *state.BeginRekey:
		text = "begin a change of the identity"
	case *state.Batch:
		var out []string
		for _, e := range e.Events {
			out = append(out, describe(e)...)
		}
		return out
	}
	return []string{text}
}
