package mailbox

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Message is one message of a [View], as of its last Sync.
type Message struct {
	Index  int // place in the view, from 0
	UID    UID
	ModSeq ModSeq
	Size   int64     // bytes, as the message came in (RFC822.SIZE)
	Date   time.Time // INTERNALDATE, UTC, whole seconds
	Saved  time.Time // when it came into this mailbox (RFC 8514), UTC, whole seconds
	ID     EmailID
	Recent bool // for this session

	handle *Account
	box    *state.Mailbox
	page   *state.Page
	i      int
	near   *pages.Nearby
}

// message returns what walk found.
func (t *shown) message(h *Account, at pages.Hit, near *pages.Nearby) *Message {
	p, i := at.Page, at.Row
	return &Message{
		Index: at.Index, UID: p.UIDs[i], ModSeq: p.ModSeqs[i], Size: int64(p.Sizes[i]),
		Date: time.Unix(p.Dates[i], 0).UTC(), Saved: time.Unix(int64(p.Saved[i]), 0).UTC(),
		ID: EmailID(p.Bodies[i].ID), Recent: t.recent.Has(p.UIDs[i]),
		handle: h, box: t.box, page: p, i: i, near: near,
	}
}

// Flags returns the message's flags: system flags as \Seen, then keywords. \Recent
// is not among them.
func (m *Message) Flags() []string { return m.page.Flags[m.i].Names(m.box.Keywords) }

// HasFlag reports whether the message has a flag; case does not matter.
func (m *Message) HasFlag(flag string) bool {
	bit, ok := state.FindFlag(m.box.Keywords, flag)
	return ok && m.page.Flags[m.i]&bit != 0
}

// Meta returns what is kept about the message so that its bytes need not be
// read: header and structure. The result is not shared.
func (m *Message) Meta(ctx context.Context) (*message.Message, error) {
	a, err := m.handle.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	src, slot := m.page.Sources[m.page.SourceIndex[m.i]], m.page.Slots[m.i]
	metas, err := m.near.Read(ctx, a.pages, src, m.UID)
	if err == nil {
		return a.pages.DecodeMessage(metas, slot)
	}
	if !errors.Is(err, fs.ErrNotExist) || src.Entry == 0 && !errors.Is(err, pages.ErrUnknownSegment) {
		return nil, err
	}
	// The view is so old that the entry has been trimmed since, or the segment
	// written anew. A newer one holds the metadata, or if the message was expunged
	// only the message itself.
	if now := a.state().ByID(m.box.ID); now != nil {
		if k := now.PageOf(m.UID); k < len(now.Pages) {
			p, err := a.pages.Page(ctx, now.Pages[k])
			if err != nil {
				return nil, err
			}
			if i, ok := p.Find(m.UID); ok && p.Sources[p.SourceIndex[i]] != src {
				return a.pages.Message(ctx, p.Sources[p.SourceIndex[i]], p.Slots[i])
			}
		}
	}
	return m.scan(ctx)
}

// header returns the kept header block, and whether it is a reduced one, for less
// than Meta costs.
func (m *Message) header(ctx context.Context) (message.Header, bool, error) {
	a, err := m.handle.use()
	if err != nil {
		return message.Header{}, false, err
	}
	defer a.leave()
	src, slot := m.page.Sources[m.page.SourceIndex[m.i]], m.page.Slots[m.i]
	if metas, err := m.near.Read(ctx, a.pages, src, m.UID); err == nil && int64(slot) < int64(len(metas)) {
		if h, cut, err := message.ReadHeader(metas[slot]); err == nil {
			return h, cut, nil
		}
	}
	meta, err := m.Meta(ctx)
	if err != nil {
		return message.Header{}, false, err
	}
	return message.ParseHeader(meta.Header), meta.HeaderCut, nil
}

// Preview returns the beginning of the message's text on one line (RFC 8970), at
// most [message.MaxPreview] characters. It reads kept metadata; only messages that
// came in before previews were kept cost a read of their text. With lazy it makes
// no such read, and ok is false where one would be needed.
func (m *Message) Preview(ctx context.Context, lazy bool) (text string, ok bool, err error) {
	meta, err := m.Meta(ctx)
	if err != nil {
		return "", false, err
	}
	if meta.HasPreview || lazy {
		return meta.Preview, meta.HasPreview, nil
	}
	text, err = meta.MakePreview(ctx, func(off, n int64) (io.ReadCloser, error) { return m.Open(ctx, off, n) })
	return text, err == nil, err
}

// scan reads the message and finds again what was kept about it.
func (m *Message) scan(ctx context.Context) (*message.Message, error) {
	r, err := m.Open(ctx, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s := message.NewScanner()
	if _, err := io.Copy(s, r); err != nil {
		return nil, err
	}
	return s.Close(), nil
}

// Open returns the bytes [off, off+n) of the message, as they came in, by one
// read of the store; n < 0 means to the end, and a range beyond the end is cut
// there. No byte is handed out before it is verified; a body that is damaged is
// [eventlog.ErrCorrupt], one that is missing [fs.ErrNotExist]. The caller closes
// the reader.
func (m *Message) Open(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	a, err := m.handle.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	return a.pages.OpenBody(ctx, m.page.Bodies[m.i], m.Size, off, n)
}
