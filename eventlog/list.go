package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
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
			e := EntryInfo{Pos: p, Size: info.Size}
			data, err := l.read(ctx, info.Name, 0, entryHeadLen)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			damaged := false
			if err == nil {
				var h entryHeader
				if h, err = parseEntryHeader(data); err != nil {
					err, damaged = l.corrupt("list", p, err), true
				}
				e.Kind, e.Epoch, e.Terms = h.kind, h.epoch, TermsOpen
				if h.close || h.mac && h.kind != Rekey {
					e.Terms = TermsClosed
				}
			}
			if !yield(e, err) || err != nil && !damaged {
				return
			}
		}
	}
}
