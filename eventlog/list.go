package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/letterlock/letterlock/blob"
)

// EntryInfo is what can be told of an entry without the keys.
type EntryInfo struct {
	Pos   Position
	Kind  Kind
	Epoch Epoch
	Terms Terms // as the entry says of itself
	Size  int64 // bytes of its object
}

// List yields the entries after a position as they are listed, without keys and
// without checking the chain, at a read of a few bytes each. It does not move the
// head. An entry that is trimmed meanwhile is left out; one whose header is
// damaged is yielded with its [CorruptError], and the next one follows. After any
// other error it stops.
func (l *Log) List(ctx context.Context, after Position) iter.Seq2[EntryInfo, error] {
	return func(yield func(EntryInfo, error) bool) {
		start := ""
		if after > 0 {
			start = l.entryName(after)
		}
		for info, err := range l.store.List(ctx, l.prefix+entryFolder, start) {
			if err != nil {
				yield(EntryInfo{}, fmt.Errorf("eventlog: list entries: %w", err))
				return
			}
			p, ok := l.parsePosition(entryFolder, info.Name)
			if !ok {
				continue // Check reports it
			}
			e, err := l.entryInfo(ctx, p, info)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			var damage *CorruptError
			if !yield(e, err) || err != nil && !errors.As(err, &damage) {
				return
			}
		}
	}
}

// entryInfo reads the header of an entry that was listed.
func (l *Log) entryInfo(ctx context.Context, p Position, info blob.Info) (EntryInfo, error) {
	e := EntryInfo{Pos: p, Size: info.Size}
	data, err := l.read(ctx, info.Name, 0, entryHeadLen)
	if err != nil {
		return e, err
	}
	h, err := parseEntryHeader(data)
	if err != nil {
		err = l.corrupt("list", p, err)
	}
	e.Kind, e.Epoch, e.Terms = h.kind, h.epoch, TermsOpen
	if h.close || h.mac && h.kind != Rekey {
		e.Terms = TermsClosed
	}
	return e, err
}
