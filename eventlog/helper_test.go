package eventlog_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

const prefix = "acct/00112233445566778899aabbccddeeff/"

// clock is a wall clock that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// world is one log's store, keys and time, in which any number of handles work.
type world struct {
	t     *testing.T
	mem   *memblob.Store
	id    *crypto.Identity
	logID eventlog.ID
	clock *clock
}

func newIdentity(t *testing.T) *crypto.Identity {
	t.Helper()
	id, err := crypto.NewIdentity()
	require.NoError(t, err)
	return id
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{
		t: t, mem: memblob.New(), id: newIdentity(t), logID: eventlog.ID{1, 2, 3},
		clock: &clock{t: time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)},
	}
}

// handle returns a handle on the log through store, or the world's own.
func (w *world) handle(store blob.Store, edit ...func(*eventlog.Config)) *eventlog.Log {
	w.t.Helper()
	cfg := eventlog.Config{
		Store: store, Prefix: prefix, ID: w.logID, Now: w.clock.now,
		Keys: &eventlog.Keys{Identity: w.id},
	}
	if store == nil {
		cfg.Store = w.mem
	}
	for _, e := range edit {
		e(&cfg)
	}
	l, err := eventlog.New(cfg)
	require.NoError(w.t, err)
	return l
}

// handleAt returns a handle that read the log and was put back to a head.
func (w *world) handleAt(store blob.Store, h eventlog.Head) *eventlog.Log {
	w.t.Helper()
	l := w.handle(store)
	_, err := readAll(w.t.Context(), l)
	require.NoError(w.t, err)
	l.Seek(h)
	return l
}

// keyless makes a handle that can only deliver.
func (w *world) keyless(cfg *eventlog.Config) {
	cfg.Keys = nil
	cfg.Delivery = func(context.Context, eventlog.Epoch) (eventlog.Delivery, error) {
		return eventlog.Delivery{Recipient: w.id.Recipient()}, nil
	}
}

// begin makes the log, with the record "begin" and n more, and returns a handle
// at its end.
func (w *world) begin(n int) *eventlog.Log {
	w.t.Helper()
	l := w.handle(nil)
	require.NoError(w.t, l.Begin(w.t.Context(), []byte("begin")))
	w.grow(l, n)
	return l
}

// grow appends n entries.
func (w *world) grow(l *eventlog.Log, n int) {
	w.t.Helper()
	for range n {
		_, err := l.Append(w.t.Context(), eventlog.Owned, fmt.Appendf(nil, "record %d", l.Head().Pos+1))
		require.NoError(w.t, err)
	}
}

// clean fails the test if Check finds anything.
func (w *world) clean() {
	w.t.Helper()
	require.NoError(w.t, w.handle(nil).Check(w.t.Context(), func(p eventlog.Problem) { w.t.Errorf("check: %v", p) }))
}

// problems returns what Check finds.
func (w *world) problems(edit ...func(*eventlog.Config)) []eventlog.Problem {
	w.t.Helper()
	var all []eventlog.Problem
	require.NoError(w.t, w.handle(nil, edit...).Check(w.t.Context(), func(p eventlog.Problem) { all = append(all, p) }))
	return all
}

// records reads the whole log on a new handle.
func (w *world) records() []string {
	w.t.Helper()
	all, err := readAll(w.t.Context(), w.handle(nil))
	require.NoError(w.t, err)
	return all
}

// readAll reads what follows the head.
func readAll(ctx context.Context, l *eventlog.Log) ([]string, error) {
	var all []string
	for e, err := range l.Read(ctx) {
		if err != nil {
			return all, err
		}
		for _, r := range e.Records {
			all = append(all, string(r))
		}
	}
	return all, nil
}

func entryName(p eventlog.Position) string { return fmt.Sprintf("%slog/%016d", prefix, p) }
func snapName(p eventlog.Position) string  { return fmt.Sprintf("%ssnap/%016d", prefix, p) }

func (w *world) bytes(name string) []byte {
	w.t.Helper()
	r, err := w.mem.Open(w.t.Context(), name, 0, -1)
	require.NoError(w.t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(w.t, err)
	return data
}

// replace puts other bytes in the place of an object, as only the owner of a
// store can.
func (w *world) replace(name string, data []byte) {
	w.t.Helper()
	require.NoError(w.t, w.mem.Delete(w.t.Context(), name))
	require.NoError(w.t, create(w.t.Context(), w.mem, name, data))
}

func (w *world) exists(name string) bool {
	_, err := w.mem.Stat(w.t.Context(), name)
	if err != nil {
		assert.ErrorIs(w.t, err, fs.ErrNotExist)
	}
	return err == nil
}

// hooked is a store on which something happens around the creates of one handle.
type hooked struct {
	blob.Store
	before, after func(name string)
}

func (h *hooked) Create(ctx context.Context, name string, r io.Reader) error {
	if h.before != nil {
		h.before(name)
	}
	err := h.Store.Create(ctx, name, r)
	if h.after != nil {
		h.after(name)
	}
	return err
}

// listModel keeps all records. A snapshot is them joined by length.
type listModel struct {
	refuse func(at eventlog.Position, kind eventlog.Kind, record string) error
}

type list struct {
	records []string
	at      []eventlog.Position
}

func (listModel) Load(ctx context.Context, l *eventlog.Log) (list, error) {
	snap, err := l.LatestSnapshot(ctx)
	if err != nil {
		return list{}, err
	}
	if snap == nil {
		l.Seek(eventlog.Head{})
		return list{}, nil
	}
	s, err := decodeList(snap.Payload)
	l.Seek(snap.Head)
	return s, err
}

func (m listModel) Apply(_ context.Context, s list, at eventlog.Position, kind eventlog.Kind, record []byte) (list, error) {
	if m.refuse != nil {
		if err := m.refuse(at, kind, string(record)); err != nil {
			return list{}, err
		}
	}
	return list{
		records: append(s.records[:len(s.records):len(s.records)], string(record)),
		at:      append(s.at[:len(s.at):len(s.at)], at),
	}, nil
}

func (s list) encode() []byte {
	var b []byte
	for i, r := range s.records {
		b = fmt.Appendf(b, "%d %q\n", s.at[i], r)
	}
	return b
}

func decodeList(b []byte) (list, error) {
	var s list
	for len(b) > 0 {
		var at eventlog.Position
		var record string
		line, rest := cut(b)
		if _, err := fmt.Sscanf(string(line), "%d %q", &at, &record); err != nil {
			return s, err
		}
		s.records, s.at = append(s.records, record), append(s.at, at)
		b = rest
	}
	return s, nil
}

func cut(b []byte) (line, rest []byte) {
	for i, c := range b {
		if c == '\n' {
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// committer opens a Committer through store.
func (w *world) committer(store blob.Store, o eventlog.CommitterOptions[list], edit ...func(*eventlog.Config)) *eventlog.Committer[list] {
	w.t.Helper()
	c := eventlog.NewCommitter(w.handle(store, edit...), eventlog.Model[list](listModel{}), o)
	require.NoError(w.t, c.Open(w.t.Context()))
	return c
}

// write returns a decision for a fixed record.
func write(record string) func(context.Context, list, eventlog.Position) ([]byte, error) {
	return func(context.Context, list, eventlog.Position) ([]byte, error) { return []byte(record), nil }
}
