package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/observe"
)

// Recipient is one addressee of a delivery.
type Recipient struct {
	Account string
	Folder  string // matched without regard to ASCII case; INBOX if it is empty or no such mailbox exists
	Prefix  []byte // put in front of the message, such as Return-Path and Delivered-To lines
}

// Deliver puts a message into accounts without any secret of theirs: it needs to
// know them by name only, and can read nothing. It reads r once whatever the
// number of recipients, and returns one error for each: nil means that the
// message is durable and in the mailbox. It fails with [ErrNoAccount],
// [ErrTooLarge], [ErrOverQuota] as far as can be known (see [Store.SetQuota]), r's error (for all, and then nothing was delivered), and what
// the store returns, which is worth another try later.
func (s *Store) Deliver(ctx context.Context, rcpts []Recipient, r io.Reader) []error {
	begun := s.opts.Observe.Now()
	ctx, end := s.opts.Observe.Start(ctx, observe.SpanDeliver)
	staged := make([]state.NewMessage, len(rcpts))
	errs := s.deliver(ctx, rcpts, r, staged)
	end(slices.ContainsFunc(errs, func(err error) bool { return delivered(err) == observe.Failed }))
	if s.opts.Observe.Watched() {
		took := time.Since(begun)
		for i, err := range errs {
			s.opts.Observe.Observer.Delivery(observe.Delivery{Result: delivered(err), Bytes: int64(staged[i].Size), Time: took})
		}
	}
	return errs
}

// delivered is what came of a message for one recipient.
func delivered(err error) observe.Result {
	switch {
	case err == nil:
		return observe.OK
	case errors.Is(err, ErrNoAccount), errors.Is(err, ErrTooLarge), errors.Is(err, ErrOverQuota):
		return observe.Refused
	case errors.Is(err, context.Canceled):
		return observe.Canceled
	}
	return observe.Failed
}

func (s *Store) deliver(ctx context.Context, rcpts []Recipient, r io.Reader, staged []state.NewMessage) []error {
	errs := make([]error, len(rcpts))
	boxes := make([]*inbox, len(rcpts))
	for i, rcpt := range rcpts {
		if boxes[i], errs[i] = s.inbox(ctx, rcpt.Account); errs[i] == nil {
			errs[i] = boxes[i].room(Held{Messages: 1}) // before the message is read
		}
	}
	if err := s.stageAll(ctx, rcpts, boxes, r, staged, errs); err != nil {
		return errs
	}
	now := s.opts.Now().Unix()
	var wg sync.WaitGroup
	for i := range rcpts {
		if errs[i] == nil {
			staged[i].Date = now
			wg.Go(func() { errs[i] = boxes[i].deliver(ctx, rcpts[i].Folder, now, staged[i]) })
		}
	}
	wg.Wait()
	return errs
}

// stageAll stores one body for each recipient that is still without an error. If
// r fails it removes them all and gives its error to all.
func (s *Store) stageAll(ctx context.Context, rcpts []Recipient, boxes []*inbox, r io.Reader, staged []state.NewMessage, errs []error) error {
	src := &fanOut{src: r}
	var wg sync.WaitGroup
	for i := range rcpts {
		if errs[i] != nil {
			continue
		}
		pr, pw := io.Pipe()
		src.to = append(src.to, pw)
		wg.Go(func() {
			body := io.MultiReader(bytes.NewReader(rcpts[i].Prefix), pr)
			staged[i], errs[i] = s.stage(ctx, boxes[i].prefix, boxes[i].recipient, body)
			pr.CloseWithError(errStaged) // lets the others go on if this one stopped early
		})
	}
	err := src.run()
	wg.Wait()
	if err == nil {
		return nil
	}
	for i := range errs {
		if errs[i] == nil {
			s.unstage(ctx, boxes[i].prefix, staged[i])
		}
		if !errors.Is(errs[i], ErrNoAccount) && !errors.Is(errs[i], ErrOverQuota) {
			errs[i] = fmt.Errorf("mailbox: deliver: %w", err)
		}
	}
	return err
}

var errStaged = errors.New("body is staged")

// fanOut copies a reader to pipes and goes on without those that close.
type fanOut struct {
	src io.Reader
	to  []*io.PipeWriter
}

var fanOutBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (f *fanOut) run() error {
	mem := fanOutBuffers.Get().(*[32 << 10]byte)
	defer fanOutBuffers.Put(mem)
	defer clear(mem[:])
	buf := mem[:]
	for {
		n, err := f.src.Read(buf)
		open := f.to[:0]
		for _, w := range f.to {
			if n == 0 {
				open = append(open, w)
			} else if _, err := w.Write(buf[:n]); err == nil {
				open = append(open, w)
			}
		}
		f.to = open
		if err == io.EOF {
			for _, w := range f.to {
				w.Close()
			}
			return nil
		}
		if err != nil {
			for _, w := range f.to {
				w.CloseWithError(err)
			}
			return err
		}
	}
}

// inbox is what a process keeps of an account that it only delivers to.
type inbox struct {
	store     *Store
	id        eventlog.ID
	prefix    string
	recipient *crypto.Recipient
	committer *eventlog.Committer[struct{}]
	made      time.Time

	quota *quotaNote   // as it was when the inbox was made
	size  atomic.Int64 // bytes that this process delivered since the usage was noted
	count atomic.Int64 // and messages

	opening chan struct{} // has a value while the head of the log is looked for
	opened  bool          // protected by opening
}

const (
	// maxInboxes bounds how many accounts' places in their logs are remembered
	// for delivery; finding one costs a few requests.
	maxInboxes = 1024
	// inboxLife bounds how long the key of an account is used without looking
	// whether it changed.
	inboxLife = 5 * time.Minute
)

// inbox returns the delivery side of the account with a name.
func (s *Store) inbox(ctx context.Context, name string) (*inbox, error) {
	name, err := CanonicalAccount(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAccount, err)
	}
	id, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	s.waker.Announce()
	now := time.Now()
	s.mu.Lock()
	in, closed := s.inboxes[id], s.closed
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if in != nil && now.Sub(in.made) < inboxLife {
		return in, nil
	}
	prefix := layout.AccountPrefix(id)
	recipient, err := s.published(ctx, prefix)
	if err != nil {
		return nil, err
	}
	log, err := eventlog.New(eventlog.Config{
		Store: s.blobs, Prefix: prefix, ID: id, Recipient: recipient,
		Grace: s.opts.Grace, Seen: s.seenHead(id), Now: s.opts.Now, Logger: s.logger,
	})
	if err != nil {
		return nil, err
	}
	quota := &quotaNote{}
	if s.opts.Quotas {
		if quota, err = s.readQuota(ctx, prefix); err != nil {
			return nil, err
		}
	}
	before := in
	in = &inbox{store: s, id: id, prefix: prefix, recipient: recipient, made: now, quota: quota, opening: make(chan struct{}, 1)}
	if before != nil && before.quota.at == quota.at { // nothing was noted since
		in.size.Store(before.size.Load())
		in.count.Store(before.count.Load())
	}
	in.committer = eventlog.NewCommitter(log, eventlog.Model[struct{}](keyless{}), eventlog.CommitterOptions[struct{}]{
		Kind: eventlog.Delivered, Logger: s.logger, Observe: s.opts.Observe,
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.inboxes[id]; other != nil && now.Sub(other.made) < inboxLife {
		return other, nil
	}
	if len(s.inboxes) >= maxInboxes {
		s.dropInbox()
	}
	s.inboxes[id] = in
	return in, nil
}

// dropInbox forgets the inbox that was made first. Called with the mutex.
func (s *Store) dropInbox() {
	var oldest *inbox
	for _, in := range s.inboxes {
		if oldest == nil || in.made.Before(oldest.made) {
			oldest = in
		}
	}
	delete(s.inboxes, oldest.id)
}

// keyless is the model of a log that is only appended to.
type keyless struct{}

func (keyless) Load(ctx context.Context, l *eventlog.Log) (struct{}, error) {
	_, err := l.FindHead(ctx)
	return struct{}{}, err
}

func (keyless) Apply(context.Context, struct{}, eventlog.Position, eventlog.Kind, []byte) (struct{}, error) {
	return struct{}{}, nil
}

// deliver appends a message to the account's log.
func (in *inbox) deliver(ctx context.Context, folder string, now int64, m state.NewMessage) error {
	if folder != "" {
		name, err := CanonicalName(folder)
		if err != nil {
			name = "" // no mailbox can have this name
		}
		folder = name
	}
	size := Held{int64(m.Size), 1}
	err := in.room(size)
	if err == nil {
		err = in.ready(ctx)
	}
	if err != nil {
		in.store.unstage(ctx, in.prefix, m)
		return err
	}
	e := &state.Deliver{Folder: folder, Time: now, Messages: []state.NewMessage{m}}
	if err := e.Check(); err != nil { // never: readers would pass over it
		in.store.unstage(ctx, in.prefix, m)
		return fmt.Errorf("mailbox: deliver: %w", err)
	}
	record := state.EncodeEvent(e)
	if err := in.store.announced(ctx); err != nil {
		in.store.unstage(ctx, in.prefix, m)
		return err
	}
	head, err := in.committer.Commit(ctx, func(context.Context, struct{}, eventlog.Position) ([]byte, error) {
		return record, in.store.tooLate(e)
	})
	if notCommitted(err) {
		in.store.unstage(ctx, in.prefix, m)
	}
	if err != nil {
		return err
	}
	in.size.Add(size.Storage)
	in.count.Add(size.Messages)
	in.store.saw(in.id, head)
	in.store.delivered(in.id)
	return nil
}

// room reports whether a delivery fits the account's quota, as far as a process
// without its keys can know: by the usage that a process with them noted last, and
// what this one delivered since. If the account is open in this process its state
// tells.
func (in *inbox) room(more Held) error {
	q := in.quota.Quota
	if q == (Quota{}) {
		return nil
	}
	if a := in.store.openAccount(in.id); a != nil {
		return q.check(usage(a.state()), more)
	}
	return q.check(in.quota.noted.plus(Held{in.size.Load(), in.count.Load()}), more)
}

// ready finds the end of the log, once.
func (in *inbox) ready(ctx context.Context) error {
	select {
	case in.opening <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-in.opening }()
	if in.opened {
		return nil
	}
	err := in.committer.Open(ctx)
	in.opened = err == nil
	return err
}
