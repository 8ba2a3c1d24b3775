package mailbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// inbox is what a process keeps of an account that it only delivers to.
type inbox struct {
	store *Store
	inboxKey
	prefix    string
	sealTo    atomic.Pointer[crypto.Recipient] // as it was found last
	committer *eventlog.Committer[struct{}]
	made      time.Time

	quota *quotaNote // as it was when the inbox was made

	opening chan struct{} // has a value while the head of the log is looked for
	opened  bool          // protected by opening
	behind  atomic.Bool   // the log went on without committer
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
	if s.keyless {
		return nil, fmt.Errorf("mailbox: deliver: %w", ErrServerKey)
	}
	id, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	s.waker.Announce()
	now := time.Now()
	s.mu.Lock()
	key := inboxKey{id, s.nameHashOf(name)}
	in, closed := s.inboxes[key], s.closed
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if in != nil && now.Sub(in.made) < inboxLife {
		return in, nil
	}
	prefix := layout.AccountPrefix(id)
	quota := &quotaNote{}
	if s.opts.Quotas {
		if quota, err = s.readQuota(ctx, prefix); err != nil {
			return nil, err
		}
	}
	in = &inbox{store: s, inboxKey: key, prefix: prefix, made: now, quota: quota, opening: make(chan struct{}, 1)}
	log, err := eventlog.New(eventlog.Config{
		Store: s.blobs, Prefix: prefix, ID: id, Delivery: in.delivery,
		Grace: s.opts.Grace, Seen: s.seenHead(id), Now: s.opts.Now, Logger: s.logger,
	})
	if err != nil {
		return nil, err
	}
	in.committer = eventlog.NewCommitter(log, eventlog.Model[struct{}](keyless{}), eventlog.CommitterOptions[struct{}]{
		Kind: eventlog.Delivered, Logger: s.logger, OnCommit: s.onCommit(), OnReplay: s.onReplay(),
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.inboxes[key]; other != nil && now.Sub(other.made) < inboxLife {
		return other, nil
	}
	if len(s.inboxes) >= maxInboxes {
		s.dropInbox()
	}
	s.inboxes[key] = in
	return in, nil
}

// delivery returns what adds to the log in an epoch.
func (in *inbox) delivery(ctx context.Context, e eventlog.Epoch) (eventlog.Delivery, error) {
	d, err := in.store.deliveryFor(ctx, in.id, e, in.name)
	if err == nil {
		in.sealTo.Store(d.Recipient)
	}
	return d, err
}

// recipient returns whom bodies are sealed to, once the inbox is ready.
func (in *inbox) recipient() *crypto.Recipient { return in.sealTo.Load() }

// dropInbox forgets the inbox that was made first. Called with the mutex.
func (s *Store) dropInbox() {
	var oldest *inbox
	for _, in := range s.inboxes {
		if oldest == nil || in.made.Before(oldest.made) {
			oldest = in
		}
	}
	delete(s.inboxes, oldest.inboxKey)
}

// dropInboxes forgets those of an account. Called with the mutex.
func (s *Store) dropInboxes(id eventlog.ID) {
	for key := range s.inboxes {
		if key.id == id {
			delete(s.inboxes, key)
		}
	}
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
	if done, err := in.deliverOpen(ctx, folder, now, m, size); done {
		return err
	}
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
	if errors.Is(err, eventlog.ErrEnded) {
		err = fmt.Errorf("mailbox: deliver: %w: %w", ErrGone, err)
	}
	if err != nil {
		return err
	}
	in.store.tally(ctx, in, uint64(head.Pos), size)
	in.store.saw(in.id, head)
	in.store.delivered(in.id)
	return nil
}

// deliverOpen appends a message as sessions do, if the account is open in this
// process: nobody needs to read back then what this process has written. It is not
// done if the account is not open, or cannot be written to with the keys that it was
// opened with.
func (in *inbox) deliverOpen(ctx context.Context, folder string, now int64, m state.NewMessage, size Held) (done bool, err error) {
	a := in.store.openAccount(in.id)
	if a == nil || !a.recipient.Equal(in.recipient()) || a.enter() != nil {
		return false, nil
	}
	defer a.leave()
	refused := true
	err = a.commit(ctx, func(ctx context.Context, s *state.Account, _ ModSeq) (state.Event, error) {
		refused = true
		to := s.DeliveryMailbox(folder)
		if err := a.fits(ctx, s, to, 1, size); err != nil {
			return nil, err
		}
		refused = false
		return &state.AddMessages{Mailbox: to.ID, Time: now, Messages: []state.NewMessage{m}}, nil
	})
	if errors.Is(err, ErrRotated) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrClosed) && refused {
		return false, nil
	}
	if err != nil && (refused || notCommitted(err)) {
		in.store.unstage(ctx, in.prefix, m)
	}
	in.behind.Store(true)
	return true, err
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
	return q.check(in.quota.noted.plus(in.store.tallies.since(in.id, in.quota.at)), more)
}

// ready finds the end of the log, once, and again if an open account wrote to it.
func (in *inbox) ready(ctx context.Context) error {
	select {
	case in.opening <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-in.opening }()
	if in.opened && !in.behind.Swap(false) {
		return nil
	}
	err := in.committer.Open(ctx)
	in.opened = err == nil
	return err
}
