package gc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// A mark is a sealed object of kind "gc": what one scan found unreferenced, and
// when. Every mark stands alone; what an interrupted collection wrote is as good
// as the rest. Its plaintext:
//
//	version 2 | seconds since 1970 (8) | objects (4) | objects: kind (1), ID (16)
const markVersion = 2

// Kinds of objects in a mark.
const (
	markBody = 'b'
	markPack = 'p'
)

const (
	markObject = 1 + 16
	// markObjects is how many objects one mark names at most: about a megabyte.
	markObjects = 1 << 16
	// maxMarked bounds how many objects one collection deletes: the rest is for
	// the next.
	maxMarked = 1 << 20
)

type mark struct {
	time    time.Time
	objects []markedObject
}

type markedObject struct {
	kind byte
	id   eventlog.ObjectID
}

func (m *mark) encode() []byte {
	be := binary.BigEndian
	b := append(make([]byte, 0, 13+len(m.objects)*markObject), markVersion)
	b = be.AppendUint64(b, uint64(m.time.Unix()))
	b = be.AppendUint32(b, uint32(len(m.objects)))
	for _, o := range m.objects {
		b = append(append(b, o.kind), o.id[:]...)
	}
	return b
}

var errMalformedMark = errors.New("malformed mark of a collection")

// decodeMark reads what encode wrote, and nothing else.
func decodeMark(b []byte) (*mark, error) {
	be := binary.BigEndian
	if len(b) < 13 {
		return nil, errMalformedMark
	}
	if b[0] != markVersion {
		return nil, fmt.Errorf("mark of version %d: %w", b[0], eventlog.ErrNewerVersion)
	}
	unix := int64(be.Uint64(b[1:]))
	n := int64(be.Uint32(b[9:]))
	b = b[13:]
	if unix < 0 || int64(len(b)) != n*markObject {
		return nil, errMalformedMark
	}
	m := &mark{time: time.Unix(unix, 0)}
	for ; n > 0; n-- {
		o := markedObject{b[0], eventlog.ObjectID(b[1:markObject])}
		if o.kind != markBody && o.kind != markPack {
			return nil, errMalformedMark
		}
		m.objects = append(m.objects, o)
		b = b[markObject:]
	}
	return m, nil
}

// marks are all that the store has of an account.
type marks struct {
	newest time.Time      // zero if there are none
	aged   map[byte]idSet // marked a grace time ago
	young  map[byte]idSet // marked since
	used   []string       // names of what is superseded when the collection is done
	left   bool           // there is more than one collection deletes
}

// any reports whether there is something to delete.
func (m *marks) any() bool { return len(m.aged) > 0 }

// readMarks reads the marks of earlier collections. Marks from the future are of a
// clock that was wrong, and dropped.
func (a *Account) readMarks(ctx context.Context, now time.Time) (*marks, error) {
	m := &marks{aged: map[byte]idSet{}, young: map[byte]idSet{}}
	count := 0
	for info, err := range a.Pages.Blobs.List(ctx, a.Pages.Prefix+layout.KindMark+"/", "") {
		if err != nil {
			return nil, err
		}
		one, err := a.readMark(ctx, info.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var damage *eventlog.CorruptError
		if errors.As(err, &damage) || err == nil && one.time.Sub(now) > a.Grace/4 {
			m.used = append(m.used, info.Name) // it says nothing but what may go
			continue
		}
		if err != nil {
			return nil, err
		}
		if one.time.After(m.newest) {
			m.newest = one.time
		}
		set := m.young
		if now.Sub(one.time) >= a.Grace {
			if count += len(one.objects); count > maxMarked {
				m.left = true
				continue
			}
			set = m.aged
			m.used = append(m.used, info.Name)
		}
		for _, o := range one.objects {
			set[o.kind] = append(set[o.kind], shorten(o.id))
		}
	}
	for _, sets := range []map[byte]idSet{m.aged, m.young} {
		for kind, set := range sets {
			sets[kind] = set.sort()
		}
	}
	return m, nil
}

// CheckMark reports what is wrong with a mark.
func (a *Account) CheckMark(ctx context.Context, name string) error {
	_, err := a.readMark(ctx, name)
	return err
}

func (a *Account) readMark(ctx context.Context, name string) (*mark, error) {
	id, err := eventlog.ParseObjectID(strings.TrimPrefix(name, a.Pages.Prefix+layout.KindMark+"/"))
	if err != nil {
		return nil, &eventlog.CorruptError{Op: "read", Name: name, Err: err}
	}
	b, err := a.Pages.Log.GetOwnObject(ctx, layout.KindMark, id)
	if err != nil {
		return nil, err
	}
	m, err := decodeMark(b)
	if err != nil && !errors.Is(err, eventlog.ErrNewerVersion) {
		err = &eventlog.CorruptError{Op: "read", Name: name, Err: err}
	}
	return m, err
}

// markWriter writes the marks of one collection.
type markWriter struct {
	c       *collector
	pending []markedObject
}

func newMarkWriter(c *collector) *markWriter { return &markWriter{c: c} }

// add marks an object, unless it is marked already.
func (n *markWriter) add(ctx context.Context, kind byte, id eventlog.ObjectID) error {
	if n.c.dry || n.c.marks.young[kind].has(shorten(id)) {
		return nil
	}
	// Marked long ago and needed again since, by a snapshot that is still here:
	// the time begins anew.
	if n.pending = append(n.pending, markedObject{kind, id}); len(n.pending) == markObjects {
		return n.write(ctx)
	}
	return nil
}

// write stores a mark. Its time is taken now, when all in it was seen.
func (n *markWriter) write(ctx context.Context) error {
	m := mark{time: n.c.a.Now(), objects: n.pending}
	_, err := n.c.a.Pages.Log.PutObject(ctx, layout.KindMark, m.encode())
	n.pending = nil
	return err
}

// finish writes the last mark and deletes those that are done with. There is always a mark: it says when this was.
func (n *markWriter) finish(ctx context.Context) error {
	m := n.c.marks
	due := n.c.now.Sub(m.newest) >= n.c.a.Grace
	if len(n.pending) > 0 || due || len(m.used) > 0 {
		if err := n.write(ctx); err != nil {
			return err
		}
	}
	return n.c.a.Pages.Blobs.Delete(ctx, m.used...)
}
