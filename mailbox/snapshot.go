package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/observe"
)

// A snapshot is worth its price when the tail after the one before has this many
// entries, and more than the manifest would weigh.
const (
	snapshotEntries = 128
	entryWeight     = 1 << 10 // bytes, for comparing entries with a manifest
	// closingEntries is the tail that is worth a snapshot when the account is
	// closed: the next login opens it.
	closingEntries = 16

	snapshotTimeout = 10 * time.Minute
	closingTime     = 10 * time.Second // for the snapshots of a store that is closed
)

// snapshotter writes an account's snapshots, one at a time, in the background.
type snapshotter struct {
	account *account

	looked atomic.Int64 // wall clock, nanoseconds, of the last look for others' snapshots

	mu      sync.Mutex // protects what follows
	running bool
	stopped bool
	cancel  context.CancelFunc
	done    sync.WaitGroup
	notNow  eventlog.Position // a failed try is not repeated before this position
}

// consider starts a snapshot if the tail outweighs one.
func (w *snapshotter) consider() {
	// What other processes' snapshots cover is trimmed a grace time later, and
	// the state in memory must not need it by then.
	stale := w.account.sinceLook() > w.account.store.opts.Grace/4
	if !stale && !w.account.outweighs(snapshotEntries) {
		return
	}
	_, head := w.account.committer.State()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running || w.stopped || head.Pos < w.notNow {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), snapshotTimeout)
	w.running, w.cancel = true, cancel
	w.done.Go(func() {
		defer cancel()
		err := w.account.snapshot(ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running = false
		if err != nil {
			w.notNow = head.Pos + snapshotEntries
			if ctx.Err() == nil {
				w.account.store.logger.Warn("snapshot failed", "log", w.account.prefix, "error", err)
			}
		}
	})
}

// sinceLook returns how long ago it was looked for others' snapshots. A clock that
// was set back proves nothing.
func (a *account) sinceLook() time.Duration {
	return elapsed(a.store.opts.Now(), time.Unix(0, a.snapshots.looked.Load()))
}

// stop ends a snapshot under way and waits for it.
func (w *snapshotter) stop() {
	w.mu.Lock()
	w.stopped = true
	if w.cancel != nil {
		w.cancel()
	}
	w.mu.Unlock()
	w.done.Wait()
}

// outweighs reports whether at least so many entries follow the newest snapshot,
// and more than its manifest weighs; or few that changed much: half as many pages
// as entries were asked for are in memory only, and must be made anew at the next
// login.
func (a *account) outweighs(entries int) bool {
	s, head := a.committer.State()
	a.mu.Lock()
	tail := int64(head.Pos - min(a.snapHead.Pos, head.Pos))
	a.mu.Unlock()
	if tail == 0 {
		return false
	}
	weight, dirty := 0, 0
	for _, m := range s.Mailboxes {
		weight += 100 + len(m.Name) + len(m.Pages)*state.PageRefSize + len(m.Vanished)*16
		for _, r := range m.Pages {
			if r.Page != nil {
				dirty++
			}
		}
	}
	return tail >= int64(max(entries, weight/entryWeight)) || dirty >= entries/2
}

// snapshot writes the newest state to the store, moves the account onto what was
// written, so that its pages need not stay in memory, and trims the log.
func (a *account) snapshot(ctx context.Context) error {
	began := a.store.opts.Now()
	if err := a.adopt(ctx); err != nil {
		return err
	}
	if !a.outweighs(closingEntries) {
		return nil
	}
	return a.snapshotAndTrim(ctx, began)
}

func (a *account) writeSnapshot(ctx context.Context) error {
	return a.snapshotAndTrim(ctx, a.store.opts.Now())
}

func (a *account) snapshotAndTrim(ctx context.Context, began time.Time) error {
	if err := a.snapshotSince(ctx, began, rewrite{}); err != nil {
		return err
	}
	_, err := a.log.Trim(ctx)
	return err
}

// snapshotSince writes a snapshot. began is a time before which the state in
// memory was on the newest snapshot: what a snapshot names, old pages and those
// just written, must not have been collected meanwhile. See collect.go.
func (a *account) snapshotSince(ctx context.Context, began time.Time, also rewrite) error {
	hooks := a.store.opts.Observe
	begun := hooks.Now()
	ctx, end := hooks.Start(ctx, observe.SpanSnapshot)
	told := observe.Snapshot{}
	err := a.writeSnapshotTold(ctx, began, also, &told)
	end(err != nil)
	if hooks.Watched() {
		if told.Time = time.Since(begun); err != nil {
			told.Result = observe.Failed
		}
		hooks.Observer.Snapshot(told)
	}
	return err
}

// writeSnapshotTold is snapshotSince, and notes what it wrote.
func (a *account) writeSnapshotTold(ctx context.Context, began time.Time, also rewrite, told *observe.Snapshot) error {
	s, head := a.committer.State()
	w := snapshotWriter{account: a, at: map[metaPlace]metaPlace{}, also: also}
	next, err := w.write(ctx, s)
	if err != nil {
		return err
	}
	if a.store.stoodStill(began) {
		return errStoodStill
	}
	manifest := state.EncodeSnapshot(next)
	told.Bytes, told.Pages = len(manifest), w.wrote
	err = a.log.WriteSnapshot(ctx, head, manifest)
	if err == nil && a.store.stoodStill(began) {
		// Frozen between the two: what it names may be gone, or about to go.
		return errors.Join(errStoodStill, a.store.blobs.Delete(context.WithoutCancel(ctx), snapshotName(a.prefix, head.Pos)))
	}
	if errors.Is(err, fs.ErrExist) {
		// Another process was faster: its pages are the ones that are kept.
		if next, head, err = a.newestSnapshot(ctx); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return a.rebase(ctx, head, next)
}

func snapshotName(prefix string, p eventlog.Position) string {
	return fmt.Sprintf("%ssnap/%016d", prefix, uint64(p))
}

// rebase moves the account onto a snapshot's pages. Sessions that wait are woken:
// their views are to name these pages too before the old ones are collected.
func (a *account) rebase(ctx context.Context, head eventlog.Head, s *state.Account) error {
	if err := a.committer.Rebase(ctx, head, s); err != nil {
		return err
	}
	a.sawSnapshot(head)
	a.avoid.Store(nil)
	a.signal()
	return nil
}

// adopt moves the account onto a snapshot that another process wrote, if there is
// a newer one: entries that it covers may be trimmed soon.
func (a *account) adopt(ctx context.Context) error {
	a.mu.Lock()
	known := a.snapHead
	a.mu.Unlock()
	a.snapshots.looked.Store(a.store.opts.Now().UnixNano())
	pos, err := a.log.SnapshotPosition(ctx)
	if avoid := a.avoid.Load(); err != nil || pos <= known.Pos || avoid != nil && pos <= avoid.to {
		return err
	}
	for try := 1; ; try++ {
		s, head, err := a.newestSnapshot(ctx)
		if errors.Is(err, errNoSnapshot) {
			return nil // those there are came too late, from sessions of an identity before
		}
		if err != nil || head.Pos <= known.Pos {
			return err
		}
		err = a.rebase(ctx, head, s)
		if !errors.Is(err, eventlog.ErrTrimmed) || try == adoptTries {
			return err
		}
		// It stood still again, and that one was superseded and collected too.
	}
}

// adoptTries bounds how often one call of adopt takes the newest snapshot.
const adoptTries = 3

var errNoSnapshot = errors.New("no snapshot that counts")

func (a *account) newestSnapshot(ctx context.Context) (*state.Account, eventlog.Head, error) {
	snap, err := a.log.LatestSnapshot(ctx)
	if err != nil {
		return nil, eventlog.Head{}, err
	}
	// The snapshot may be ahead of this process.
	if _, err := a.committer.CatchUp(ctx); err != nil {
		return nil, eventlog.Head{}, err
	}
	if snap == nil {
		return nil, eventlog.Head{}, fmt.Errorf("mailbox: %ssnap: %w", a.prefix, errNoSnapshot)
	}
	s, err := state.DecodeSnapshot(snap.Payload)
	if err != nil {
		return nil, eventlog.Head{}, fmt.Errorf("mailbox: snapshot at %d: %w: %w", snap.Pos, eventlog.ErrCorrupt, err)
	}
	return s, snap.Head, nil
}

// metaPlace is where one message's metadata is.
type metaPlace struct {
	src  state.MetaSource
	slot uint32
}

// snapshotWriter writes the pages of a state that are not in the store, and the
// metadata that only the log has. It holds one segment and where each metadata
// went.
type snapshotWriter struct {
	account *account
	also    rewrite
	at      map[metaPlace]metaPlace // from -> to, of what was written

	near    nearby
	segment [][]byte
	places  []metaPlace // where those of segment come from
	bytes   int

	wrote int // objects
}

// write returns the state with all its pages in the store.
func (w *snapshotWriter) write(ctx context.Context, s *state.Account) (*state.Account, error) {
	// Metadata first, over all mailboxes, so that segments come out full.
	groups := make([][][]*state.PageRef, len(s.Mailboxes))
	for i, m := range s.Mailboxes {
		groups[i] = group(m.Pages)
		for _, g := range groups[i] {
			if err := w.gather(ctx, g); err != nil {
				return nil, err
			}
		}
	}
	if err := w.flush(ctx); err != nil {
		return nil, err
	}
	next := *s
	next.Mailboxes = make([]*state.Mailbox, len(s.Mailboxes))
	for i, m := range s.Mailboxes {
		box := *m
		box.Pages = make([]*state.PageRef, 0, len(groups[i]))
		for _, g := range groups[i] {
			refs, err := w.pages(ctx, g)
			if err != nil {
				return nil, err
			}
			box.Pages = append(box.Pages, refs...)
		}
		next.Mailboxes[i] = &box
	}
	return &next, nil
}

// group divides pages into those that are written again together: a page that
// must be written takes a small neighbour along, and new messages any page before
// them that has room, so that pages fill up.
func group(pages []*state.PageRef) [][]*state.PageRef {
	const most = 8 * state.PageRows
	small := func(r *state.PageRef) bool { return r.Count <= state.PageRows*3/4 }
	var out [][]*state.PageRef
	rows := 0 // of the last group
	for i, r := range pages {
		rows += r.Count
		if i > 0 && rows <= most {
			before := pages[i-1]
			if small(before) && (r.Page != nil || before.Page != nil && small(r)) || before.Count < state.PageRows && isNew(r) {
				out[len(out)-1] = append(out[len(out)-1], r)
				continue
			}
		}
		out = append(out, []*state.PageRef{r})
		rows = r.Count
	}
	return out
}

// isNew reports whether no snapshot has a message of the page.
func isNew(r *state.PageRef) bool {
	return r.Page != nil && !slices.ContainsFunc(r.Page.Sources, func(s state.MetaSource) bool { return s.Entry == 0 })
}

// rewrite says what a snapshot is to write anew although the store has it:
// segments that hold metadata of messages which are gone, and the pages that name
// them.
type rewrite struct {
	segments, pages map[eventlog.ObjectID]bool
}

// kept reports whether a group is one page that is in the store and stays.
func (w *snapshotWriter) kept(g []*state.PageRef) bool {
	return len(g) == 1 && g[0].Page == nil && !w.also.pages[g[0].ID]
}

// gather collects the metadata that a group has in the log. When pages have
// become nearly full by new messages, or have it from many places by copies, they
// get all of their metadata together: a listing reads a segment or two for them.
func (w *snapshotWriter) gather(ctx context.Context, g []*state.PageRef) error {
	if w.kept(g) {
		return nil
	}
	count, logged, segments := 0, false, map[state.MetaSource]bool{}
	for _, r := range g {
		p, err := w.account.page(ctx, r)
		if err != nil {
			return err
		}
		count += r.Count
		for _, s := range p.Sources {
			if logged = logged || s.Entry != 0; s.Entry == 0 {
				segments[s] = true
			}
		}
	}
	const many = 8
	all := logged && count >= state.PageRows*3/4 || len(segments) > many*len(g)
	front := newAhead(ctx, w.account, g, state.UIDSet{{First: 1, Last: math.MaxUint32}})
	defer front.end()
	if front != nil {
		front.want = func(src state.MetaSource) bool { return all || src.Entry != 0 }
	}
	w.near.begin(front)
	for _, r := range g {
		p, err := w.account.page(ctx, r)
		if err != nil {
			return err
		}
		for i := range p.Len() {
			from := metaPlace{p.Sources[p.SourceIndex[i]], p.Slots[i]}
			if !all && from.src.Entry == 0 && !w.also.segments[from.src.Segment] {
				continue
			}
			if err := w.add(ctx, from, p.UIDs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// add puts the metadata of the message with a UID into the segment, once however
// many copies of the message there are.
func (w *snapshotWriter) add(ctx context.Context, from metaPlace, u UID) error {
	if _, ok := w.at[from]; ok {
		return nil
	}
	metas, err := w.near.read(ctx, w.account, from.src, u)
	if err != nil {
		return err
	}
	if int64(from.slot) >= int64(len(metas)) {
		return fmt.Errorf("mailbox: %s: metadata %d is not in its source: %w", w.account.prefix, from.slot, eventlog.ErrCorrupt)
	}
	meta := metas[from.slot]
	if len(w.segment) == state.SegmentMessages || w.bytes+len(meta) > state.SegmentBytes {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	w.at[from] = metaPlace{} // until flush knows
	w.segment = append(w.segment, meta)
	w.places = append(w.places, from)
	w.bytes += len(meta)
	return nil
}

func (w *snapshotWriter) flush(ctx context.Context) error {
	if len(w.segment) == 0 {
		return nil
	}
	id, err := w.account.log.PutObject(ctx, objectMeta, state.EncodeSegment(w.segment))
	if err != nil {
		return err
	}
	w.wrote++
	for i, from := range w.places {
		w.at[from] = metaPlace{state.MetaSource{Segment: id}, uint32(i)}
	}
	w.segment, w.places, w.bytes = nil, nil, 0
	return nil
}

// pages writes a group, if it is not in the store as it is.
func (w *snapshotWriter) pages(ctx context.Context, g []*state.PageRef) (out []*state.PageRef, err error) {
	if w.kept(g) {
		return g, nil
	}
	n := state.NewPage(state.PageRows)
	flush := func() error {
		if n.Len() == 0 {
			return nil
		}
		ref, err := w.put(ctx, n)
		out, n = append(out, ref), state.NewPage(state.PageRows)
		return err
	}
	for _, r := range g {
		p, err := w.account.page(ctx, r)
		if err != nil {
			return nil, err
		}
		for i := range p.Len() {
			row := p.Row(i)
			if to, ok := w.at[metaPlace{row.Meta, row.Slot}]; ok {
				row.Meta, row.Slot = to.src, to.slot
			}
			n.Append(row)
			if n.Len() == state.PageRows {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, flush()
}

func (w *snapshotWriter) put(ctx context.Context, p *state.Page) (*state.PageRef, error) {
	id, err := w.account.log.PutObject(ctx, objectPage, p.Encode())
	if err != nil {
		return nil, err
	}
	w.wrote++
	ref := p.Ref()
	ref.ID, ref.Page = id, nil
	w.account.store.cache.put(cacheKey{account: w.account.id, object: id}, p, p.Memory())
	return ref, nil
}
