package eventlog

import (
	"cmp"
	"context"
)

// ReadEntry returns one entry by its position, wherever the log stands, and does
// not move the head. It verifies the seal, the position and the log's ID, but not
// the chain: use it for what was reached by Read before. It fails with
// fs.ErrNotExist if the entry was trimmed, and with [CorruptError]. It needs the
// keys.
func (l *Log) ReadEntry(ctx context.Context, p Position) (Entry, error) {
	data, err := l.read(ctx, l.entryName(p), 0, MaxEntry+1)
	if err != nil {
		return Entry{}, err
	}
	e, err := openTwice(ctx, l, l.entryName(p), data, func(data []byte) (Entry, error) {
		h, err := parseEntryHeader(data)
		if err != nil {
			return Entry{}, err
		}
		e, err := l.sealer.decode(Head{Pos: p - 1, Hash: h.prev}, data)
		return e, cmp.Or(err, e.Junk)
	})
	if err != nil && e.Junk == nil {
		return Entry{}, l.corrupt("read", p, err)
	}
	return e, nil
}

// SnapshotPosition returns the position of the newest snapshot by its name alone,
// or 0 if there is none. It costs one listing of at most a few names.
func (l *Log) SnapshotPosition(ctx context.Context) (Position, error) {
	all, err := l.snapshots(ctx)
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return all[len(all)-1], nil
}
