package imapadapter

import (
	"github.com/emersion/go-imap/v2"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/mailbox"
)

// Select handles SELECT and EXAMINE.
func (s *Session) Select(name string, o *imap.SelectOptions) (*imap.SelectData, error) {
	op := s.begin("SELECT")
	defer op.end()
	s.deselect()
	view, err := s.account.Select(op.ctx, name, o.ReadOnly)
	if err != nil {
		return nil, op.fail(err)
	}
	data := &imap.SelectData{
		Flags:       flags(view.Flags()),
		NumMessages: uint32(view.Len()),
		UIDNext:     imap.UID(view.UIDNext()),
		UIDValidity: view.UIDValidity(),
	}
	if !o.ReadOnly {
		data.PermanentFlags = append(flags(view.Flags()), imap.FlagWildcard)
	}
	if s.rev2() {
		// RFC 9051 section 6.3.2 wants the mailbox's name as it is spelled here.
		data.List = &imap.ListData{Delim: mailbox.Separator, Mailbox: view.Name()}
	} else {
		index, ok, err := view.FirstUnseen(op.ctx)
		if err != nil {
			view.Close()
			return nil, op.fail(err)
		}
		if ok {
			data.FirstUnseenSeqNum = seqNum(index)
		}
		data.NumRecent = uint32(view.Recent())
	}
	s.view = view
	return data, nil
}

// Unselect handles UNSELECT, and the second half of CLOSE.
func (s *Session) Unselect() error {
	op := s.begin("UNSELECT")
	defer op.end()
	s.deselect()
	return nil
}

// Create handles CREATE, with the attributes of RFC 6154.
func (s *Session) Create(name string, o *imap.CreateOptions) error {
	op := s.begin("CREATE")
	defer op.end()
	uses := make([]string, 0, len(o.SpecialUse))
	for _, u := range o.SpecialUse {
		uses = append(uses, string(u))
	}
	return op.fail(s.account.Create(op.ctx, name, uses...))
}

// Delete handles DELETE.
func (s *Session) Delete(name string) error {
	op := s.begin("DELETE")
	defer op.end()
	return op.fail(s.account.Delete(op.ctx, name))
}

// Rename handles RENAME.
func (s *Session) Rename(from, to string, _ *imap.RenameOptions) error {
	op := s.begin("RENAME")
	defer op.end()
	return op.fail(s.account.Rename(op.ctx, from, to))
}

// Subscribe handles SUBSCRIBE.
func (s *Session) Subscribe(name string) error { return s.subscribe(name, true) }

// Unsubscribe handles UNSUBSCRIBE.
func (s *Session) Unsubscribe(name string) error { return s.subscribe(name, false) }

func (s *Session) subscribe(name string, on bool) error {
	op := s.begin("SUBSCRIBE")
	defer op.end()
	return op.fail(s.account.Subscribe(op.ctx, name, on))
}

// Status handles STATUS.
func (s *Session) Status(name string, o *imap.StatusOptions) (*imap.StatusData, error) {
	op := s.begin("STATUS")
	defer op.end()
	if err := checkStatus(o); err != nil {
		return nil, err
	}
	name, err := mailbox.CanonicalName(name)
	if err != nil {
		return nil, op.fail(err)
	}
	status, err := s.account.Status(op.ctx, name)
	if err != nil {
		return nil, op.fail(err)
	}
	return s.statusData(name, &status), nil
}

// checkStatus refuses what the engine's parser lets pass although it is not
// offered: its writer would not survive that there is no answer.
func checkStatus(o *imap.StatusOptions) error {
	if o != nil && o.DeletedStorage {
		return translate.Bad("DELETED-STORAGE is not supported")
	}
	return nil
}

// statusData returns all that STATUS can tell. The engine picks from it.
func (s *Session) statusData(name string, st *mailbox.Status) *imap.StatusData {
	num := func(n int) *uint32 {
		v := uint32(n)
		return &v
	}
	size, limit := st.Size, s.AppendLimit()
	return &imap.StatusData{
		Mailbox:     name,
		NumMessages: num(st.Messages),
		NumRecent:   num(st.Recent),
		UIDNext:     imap.UID(st.UIDNext),
		UIDValidity: st.UIDValidity,
		NumUnseen:   num(st.Unseen),
		NumDeleted:  num(st.Deleted),
		Size:        &size,
		AppendLimit: &limit,
	}
}

// Namespace handles NAMESPACE (RFC 2342): all mailboxes are the user's own.
func (s *Session) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{
		Personal: []imap.NamespaceDescriptor{{Prefix: "", Delim: mailbox.Separator}},
	}, nil
}
