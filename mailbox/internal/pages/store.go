package pages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
)

// Kinds of blocks. They are part of the format.
const (
	kindPage     pack.Kind = 1
	kindMetadata pack.Kind = 2
)

// Store reads and writes what one account's state refers to. It may be used from many
// goroutines.
type Store struct {
	ID     eventlog.ID // of the account
	Prefix string      // of its objects
	Log    *eventlog.Log
	Blobs  blob.Store
	Cache  *Cache

	mu       sync.Mutex // protects what follows
	segments [2]map[pack.BlockID]state.Segment
}

// Use makes known where the segments of a state lie. It is called with the state of
// each snapshot that the account is moved onto. Segments of the one before stay
// known, for views that still show it.
func (s *Store) Use(a *state.Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments[1], s.segments[0] = s.segments[0], a.Segments
}

// For returns a Store of the same account that knows the segments of one state only:
// for a look at a snapshot that the account is not moved onto.
func (s *Store) For(a *state.Account) *Store {
	other := &Store{ID: s.ID, Prefix: s.Prefix, Log: s.Log, Blobs: s.Blobs, Cache: s.Cache}
	other.Use(a)
	return other
}

// ErrUnknownSegment is a segment that was written anew since: it is in none of the
// two newest snapshots that the account was moved onto. It is also fs.ErrNotExist.
var ErrUnknownSegment = fmt.Errorf("metadata is in no snapshot in use: %w", fs.ErrNotExist)

// segment returns the place of a segment, or [ErrUnknownSegment].
func (s *Store) segment(id pack.BlockID) (state.Segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, table := range s.segments {
		if seg, ok := table[id]; ok {
			return seg, nil
		}
	}
	return state.Segment{}, fmt.Errorf("mailbox: %s: metadata %s: %w", s.Prefix, id, ErrUnknownSegment)
}

// SegmentName returns the name of the pack that a segment lies in, or the folder of
// packs if no snapshot in use has the segment.
func (s *Store) SegmentName(id pack.BlockID) string {
	seg, err := s.segment(id)
	if err != nil {
		return s.Prefix + layout.PackFolder
	}
	return layout.PackName(s.Prefix, seg.Metadata.Pack)
}

func (s *Store) sealer() pack.Sealer { return pack.Sealer{Log: s.ID} }

// openPack is a [pack.Opener].
func (s *Store) openPack(ctx context.Context, id pack.ID, off, n int64) (io.ReadCloser, error) {
	return s.Blobs.Open(ctx, layout.PackName(s.Prefix, id), off, n)
}

// block reads a block. What is not what was written is read once more, in case it was
// damaged on its way.
func (s *Store) block(ctx context.Context, k pack.Kind, ref pack.Ref) ([]byte, error) {
	data, err := s.readBlock(ctx, k, ref)
	if errors.Is(err, pack.ErrCorrupt) {
		data, err = s.readBlock(blob.Fresh(ctx), k, ref)
	}
	return data, s.damaged(ref, err)
}

// blockOf is block for one whose sealed bytes may be at hand.
func (s *Store) blockOf(ctx context.Context, k pack.Kind, ref pack.Ref, sealed []byte) ([]byte, error) {
	if sealed == nil {
		return s.block(ctx, k, ref)
	}
	data, err := s.sealer().Open(k, ref, sealed)
	return data, s.damaged(ref, err)
}

func (s *Store) readBlock(ctx context.Context, k pack.Kind, ref pack.Ref) (data []byte, err error) {
	for _, b := range pack.ReadSealed(ctx, s.openPack, []pack.Ref{ref}) {
		if b.Err != nil {
			return nil, b.Err
		}
		data, err = s.sealer().Open(k, ref, b.Bytes)
	}
	return data, err
}

// damaged names the pack of a block that does not open.
func (s *Store) damaged(ref pack.Ref, err error) error {
	if errors.Is(err, pack.ErrCorrupt) {
		return &eventlog.CorruptError{Op: "read", Name: layout.PackName(s.Prefix, ref.Pack), Err: err}
	}
	return err
}

// Page returns a page, from the state, the cache or the store.
func (s *Store) Page(ctx context.Context, ref *state.PageRef) (*state.Page, error) {
	return s.page(ctx, ref, notAhead)
}

// ahead returns the sealed bytes of a block that was read ahead, or nil.
type ahead func(ctx context.Context, ref pack.Ref) []byte

func notAhead(context.Context, pack.Ref) []byte { return nil }

// page is Page, from what was read ahead if it is there.
func (s *Store) page(ctx context.Context, ref *state.PageRef, from ahead) (*state.Page, error) {
	if ref.Page != nil {
		return ref.Page, nil
	}
	v, err := s.Cache.load(ctx, pageKey(s.ID, ref), func() (any, int64, error) {
		b, err := s.blockOf(ctx, kindPage, ref.Block, from(ctx, ref.Block))
		if err != nil {
			return nil, 0, err
		}
		p, err := s.decodePage(ref, b)
		if err != nil {
			return nil, 0, err
		}
		return p, p.Memory(), nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*state.Page), nil
}

// ReadPage reads a page from the store and does not cache it: a walk over all pages
// would empty the cache.
func (s *Store) ReadPage(ctx context.Context, ref *state.PageRef) (*state.Page, error) {
	b, err := s.block(ctx, kindPage, ref.Block)
	if err != nil {
		return nil, err
	}
	return s.decodePage(ref, b)
}

func (s *Store) decodePage(ref *state.PageRef, b []byte) (*state.Page, error) {
	p, err := state.DecodePage(b)
	if err == nil && (p.Len() != ref.Count || p.UIDs[0] != ref.First || p.UIDs[p.Len()-1] != ref.Last) {
		err = errors.New("not the page that was named")
	}
	if err != nil {
		return nil, fmt.Errorf("mailbox: %s: page %s: %w: %w", layout.PackName(s.Prefix, ref.Block.Pack), ref.ID(), eventlog.ErrCorrupt, err)
	}
	return p, nil
}

func pageKey(account eventlog.ID, ref *state.PageRef) cacheKey {
	return cacheKey{account: account, block: ref.ID()}
}

// Metadata returns the encoded metadata of all messages of a source.
func (s *Store) Metadata(ctx context.Context, src state.MetaSource) ([][]byte, error) {
	return s.metadata(ctx, src, notAhead)
}

// metadata is Metadata, from what was read ahead if it is there.
func (s *Store) metadata(ctx context.Context, src state.MetaSource, from ahead) ([][]byte, error) {
	v, err := s.Cache.load(ctx, sourceKey(s.ID, src), func() (any, int64, error) {
		metas, err := s.readMetadata(ctx, src, from)
		if err != nil {
			return nil, 0, err
		}
		return metas, metasMemory(metas), nil
	})
	if err != nil {
		return nil, err
	}
	return v.([][]byte), nil
}

func sourceKey(account eventlog.ID, src state.MetaSource) cacheKey {
	return cacheKey{account: account, block: src.Segment, position: src.Entry}
}

func metasMemory(metas [][]byte) int64 {
	size := int64(0)
	for _, m := range metas {
		size += int64(len(m)) + 24
	}
	return size
}

// ReadMetadata is Metadata without the cache.
func (s *Store) ReadMetadata(ctx context.Context, src state.MetaSource) ([][]byte, error) {
	return s.readMetadata(ctx, src, notAhead)
}

func (s *Store) readMetadata(ctx context.Context, src state.MetaSource, from ahead) ([][]byte, error) {
	if src.Entry != 0 {
		entry, err := s.Log.ReadEntry(ctx, eventlog.Position(src.Entry))
		if err != nil {
			return nil, err
		}
		return state.EntryMetadata(entry)
	}
	seg, err := s.segment(src.Segment)
	if err != nil {
		return nil, err
	}
	b, err := s.blockOf(ctx, kindMetadata, seg.Metadata, from(ctx, seg.Metadata))
	if err != nil {
		return nil, err
	}
	return s.decodeSegment(seg, b)
}

func (s *Store) decodeSegment(seg state.Segment, b []byte) ([][]byte, error) {
	metas, err := state.DecodeSegment(b)
	if err == nil && len(metas) != seg.Messages {
		err = errors.New("not the segment that was named")
	}
	if err != nil {
		return nil, fmt.Errorf("mailbox: %s: metadata %s: %w: %w", layout.PackName(s.Prefix, seg.Metadata.Pack), seg.Metadata.ID(), eventlog.ErrCorrupt, err)
	}
	return metas, nil
}

// CacheEntry caches the metadata of an entry that was read or appended: the next
// listing needs it, and the next snapshot.
func (s *Store) CacheEntry(e eventlog.Entry) {
	if metas, err := state.EntryMetadata(e); err == nil && len(metas) > 0 {
		src := state.MetaSource{Entry: state.ModSeq(e.Pos)}
		s.Cache.put(sourceKey(s.ID, src), metas, metasMemory(metas))
	}
}

// Message returns a message's metadata.
func (s *Store) Message(ctx context.Context, src state.MetaSource, slot uint32) (*message.Message, error) {
	metas, err := s.Metadata(ctx, src)
	if err != nil {
		return nil, err
	}
	return s.DecodeMessage(metas, slot)
}

// DecodeMessage decodes one message's metadata of a source.
func (s *Store) DecodeMessage(metas [][]byte, slot uint32) (*message.Message, error) {
	if int64(slot) >= int64(len(metas)) {
		return nil, fmt.Errorf("mailbox: %s: metadata %d is not in its source: %w", s.Prefix, slot, eventlog.ErrCorrupt)
	}
	m, err := message.Decode(metas[slot])
	if err != nil {
		return nil, fmt.Errorf("mailbox: %s: metadata %d: %w: %w", s.Prefix, slot, eventlog.ErrCorrupt, err)
	}
	return m, nil
}

// RowsBelow returns how many messages of a mailbox have a smaller UID.
func (s *Store) RowsBelow(ctx context.Context, m *state.Mailbox, u state.UID) (int, error) {
	k := m.PageOf(u)
	below := 0
	for _, ref := range m.Pages[:k] {
		below += ref.Count
	}
	if k == len(m.Pages) || u <= m.Pages[k].First {
		return below, nil
	}
	ref := m.Pages[k]
	if ref.Dense() {
		return below + int(u-ref.First), nil
	}
	p, err := s.Page(ctx, ref)
	if err != nil {
		return 0, err
	}
	i, _ := p.Find(u)
	return below + i, nil
}

// PagesFor reads the pages that an event touches, for [state.Account.Apply].
func (s *Store) PagesFor(ctx context.Context, a *state.Account, e state.Event) (state.PageSource, error) {
	var read map[*state.PageRef]*state.Page
	for _, ref := range a.PagesFor(e) {
		if ref.Page != nil {
			continue
		}
		p, err := s.Page(ctx, ref)
		if errors.Is(err, fs.ErrNotExist) {
			// It was collected while this process stood still: newer snapshots have
			// another.
			return nil, fmt.Errorf("%w: %w", eventlog.ErrTrimmed, err)
		}
		if err != nil {
			return nil, err
		}
		if read == nil {
			read = map[*state.PageRef]*state.Page{}
		}
		read[ref] = p
	}
	return func(ref *state.PageRef) *state.Page {
		if ref.Page != nil {
			return ref.Page
		}
		return read[ref]
	}, nil
}

// Apply returns the state after one record of the entry at a position. It calls step, if
// that is not nil, with each event and the states before and after it.
func (s *Store) Apply(ctx context.Context, a *state.Account, at state.ModSeq, kind eventlog.Kind, record []byte, step func(before *state.Account, e state.Event, after *state.Account)) (*state.Account, error) {
	events, err := state.RecordEvents(kind, record)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		get, err := s.PagesFor(ctx, a, e)
		if err != nil {
			return nil, err
		}
		next, err := a.Apply(at, e, get)
		if err != nil {
			return nil, err
		}
		if step != nil {
			step(a, e, next)
		}
		a = next
	}
	return a, nil
}
