package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/keyring"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pages"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/observe"
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
	sizes := make([]uint32, len(rcpts))
	errs := s.deliver(ctx, rcpts, r, sizes)
	end(slices.ContainsFunc(errs, func(err error) bool { return delivered(err) == observe.Failed }))
	if s.opts.Observe.Watched() {
		took := time.Since(begun)
		for i, err := range errs {
			s.opts.Observe.Observer.Delivery(observe.Delivery{Result: delivered(err), Bytes: int64(sizes[i]), Time: took})
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

const (
	// deliverGroup is how many recipients of a message are served at one time, at
	// some hundred KB each.
	deliverGroup = 16
	// deliverBuffer is the largest message that is kept in memory while there are
	// several recipients, in bytes. A larger one is read by all recipients of the
	// first group at the same time, and by the others from the body of one of them.
	deliverBuffer = 256 << 10
)

func (s *Store) deliver(ctx context.Context, rcpts []Recipient, r io.Reader, sizes []uint32) []error {
	errs := make([]error, len(rcpts))
	src := &deliverySource{store: s, r: r, shared: len(rcpts) > 1}
	defer src.wipe()
	for at := 0; at < len(rcpts) && src.failed == nil; at += deliverGroup {
		end := min(at+deliverGroup, len(rcpts))
		s.deliverGroup(ctx, rcpts[at:end], src, sizes[at:end], errs[at:end])
	}
	src.finish()
	if src.failed == nil {
		return errs
	}
	for i, err := range errs {
		if !errors.Is(err, ErrNoAccount) && !errors.Is(err, ErrOverQuota) {
			errs[i] = fmt.Errorf("mailbox: deliver: %w", src.failed)
		}
	}
	return errs
}

// deliverGroup delivers to a few recipients.
func (s *Store) deliverGroup(ctx context.Context, rcpts []Recipient, src *deliverySource, sizes []uint32, errs []error) {
	var group []*addressee
	for i, rcpt := range rcpts {
		in, err := s.inbox(ctx, rcpt.Account)
		if err == nil {
			err = in.room(Held{Messages: 1}) // before the message is read
		}
		if err == nil && in.recipient() == nil {
			err = in.ready(ctx) // to know whom the body is sealed to
		}
		if errs[i] = err; err == nil {
			group = append(group, &addressee{Recipient: rcpt, in: in, size: &sizes[i], err: &errs[i]})
		}
	}
	if len(group) == 0 {
		return
	}
	if src.stage(ctx, group); src.failed != nil {
		for _, a := range group {
			if *a.err == nil {
				s.unstage(ctx, a.in.prefix, a.staged)
			}
		}
		return
	}
	now := s.opts.Now().Unix()
	var wg sync.WaitGroup
	for _, a := range group {
		if *a.err == nil {
			a.staged.Date = now
			wg.Go(func() { *a.err = a.in.deliver(ctx, a.Folder, now, a.staged) })
		}
	}
	wg.Wait()
	src.keep(group)
}

// addressee is a recipient whose account was found.
type addressee struct {
	Recipient
	in     *inbox
	staged state.NewMessage
	size   *uint32
	err    *error
}

// stage stores a body of its own for the recipient.
func (a *addressee) stage(ctx context.Context, r io.Reader) {
	a.staged, *a.err = a.in.store.stage(ctx, a.in.prefix, a.in.recipient(), io.MultiReader(bytes.NewReader(a.Prefix), r))
	*a.size = a.staged.Size
}

// deliverySource is a message that is read once and stored for any number of
// recipients.
type deliverySource struct {
	store  *Store
	r      io.Reader
	shared bool  // by several recipients
	begun  bool  // r was read from
	failed error // what r failed with: the message is nobody's

	whole []byte     // the message, if it is shared and not too large
	first *addressee // whose body has the message, if whole has not
}

// stage stores a body for each of a group. It sets failed, or errors of the group.
func (d *deliverySource) stage(ctx context.Context, group []*addressee) {
	again := d.begun
	if !again {
		d.begin()
	}
	switch {
	case d.failed != nil:
	case d.whole != nil:
		var wg sync.WaitGroup
		for _, a := range group {
			wg.Go(func() { a.stage(ctx, bytes.NewReader(d.whole)) })
		}
		wg.Wait()
	case again:
		d.stageCopies(ctx, group)
	case len(group) == 1:
		src := &sourceReader{r: d.r}
		group[0].stage(ctx, src)
		if d.failed = src.err; d.failed == nil {
			_, d.failed = io.Copy(io.Discard, src)
		}
	default:
		d.failed = fanOut(ctx, d.r, group)
	}
}

// begin reads the beginning of a message, to learn whether it can be kept.
func (d *deliverySource) begin() {
	d.begun = true
	if !d.shared {
		return
	}
	var buf bytes.Buffer
	_, err := io.CopyN(&buf, d.r, deliverBuffer+1)
	switch {
	case err == io.EOF:
		if d.whole = buf.Bytes(); d.whole == nil {
			d.whole = []byte{}
		}
	case err != nil:
		d.failed = err
	default:
		d.r = io.MultiReader(&buf, d.r)
	}
}

// keep remembers one of the first group whose body has the message.
func (d *deliverySource) keep(group []*addressee) {
	for _, a := range group {
		if d.whole == nil && d.first == nil && *a.err == nil {
			d.first = a
		}
	}
}

// stageCopies stores bodies for a later group, from the body of one of the first.
func (d *deliverySource) stageCopies(ctx context.Context, group []*addressee) {
	err := errors.New("mailbox: deliver: no body was stored")
	var r io.ReadCloser
	if f := d.first; f != nil {
		r, err = pages.OpenBody(ctx, d.store.blobs, layout.BodyName(f.in.prefix, f.staged.Body.ID), f.staged.Body.Key, int64(f.staged.Size), int64(len(f.Prefix)), -1)
	}
	if err == nil {
		err = fanOut(ctx, r, group)
		r.Close()
	}
	if err == nil {
		return
	}
	for _, a := range group {
		if *a.err == nil {
			d.store.unstage(ctx, a.in.prefix, a.staged)
		}
		*a.err = err
	}
}

// finish reads what nobody wanted, so that the message is always read to its end.
func (d *deliverySource) finish() {
	if !d.begun && d.failed == nil {
		_, d.failed = io.Copy(io.Discard, d.r)
	}
}

func (d *deliverySource) wipe() { clear(d.whole) }

// fanOut stores bodies for a group while a message is read. It returns the error of
// the reader.
func fanOut(ctx context.Context, r io.Reader, group []*addressee) error {
	var wg sync.WaitGroup
	to := make([]*io.PipeWriter, len(group))
	for i, a := range group {
		pr, pw := io.Pipe()
		to[i] = pw
		wg.Go(func() {
			a.stage(ctx, pr)
			pr.CloseWithError(errStaged) // lets the others go on if this one stopped early
		})
	}
	err := copyTo(to, r)
	wg.Wait()
	return err
}

var errStaged = errors.New("body is staged")

var fanOutBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyTo copies a reader to pipes and goes on without those that close.
func copyTo(to []*io.PipeWriter, r io.Reader) error {
	mem := fanOutBuffers.Get().(*[32 << 10]byte)
	defer fanOutBuffers.Put(mem)
	defer clear(mem[:])
	for {
		n, err := r.Read(mem[:])
		if n > 0 {
			to = slices.DeleteFunc(to, func(w *io.PipeWriter) bool {
				_, closed := w.Write(mem[:n])
				return closed != nil
			})
		}
		if err != nil {
			for _, w := range to {
				w.CloseWithError(err) // io.EOF too
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// inboxKey tells inboxes apart: by name too, for with a server key it counts that the
// name leads to the account.
type inboxKey struct {
	id   eventlog.ID
	name keyring.NameHash
}
