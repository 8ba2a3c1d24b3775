// Package natsbus lets processes that share a store tell each other at once what
// they wrote, over NATS. It shows what a mailbox.Bus of one's own takes: copy it.
//
//	conn, err := nats.Connect("nats://127.0.0.1:4222")
//	...
//	store, err := mailbox.Open(ctx, blobs, mailbox.Options{
//		Bus:          natsbus.New(conn, "letterlock.wake"),
//		PollInterval: 30 * time.Second, // for what the bus loses
//	})
//
// It uses the core of NATS, which promises nothing: a message that is lost while
// the connection is made anew is one that the store tells of later.
package natsbus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/letterlock/letterlock/mailbox"
)

var _ mailbox.Bus = (*Bus)(nil)

// Bus is a mailbox.Bus on a subject of NATS.
type Bus struct {
	conn    *nats.Conn
	subject string
}

// answerWithin bounds how long the server's answer to a subscription is waited for.
const answerWithin = 10 * time.Second

// New returns a bus. All processes of a store use one subject, and no others. The
// connection stays the caller's.
func New(conn *nats.Conn, subject string) *Bus { return &Bus{conn, subject} }

// Publish implements mailbox.Bus. That it returns does not mean that anybody got
// the message.
func (b *Bus) Publish(_ context.Context, message []byte) error {
	if err := b.conn.Publish(b.subject, message); err != nil {
		return fmt.Errorf("natsbus: publish on %s: %w", b.subject, err)
	}
	return nil
}

// Subscribe implements mailbox.Bus. It returns when the server knows of the
// subscription.
func (b *Bus) Subscribe(ctx context.Context, receive func(message []byte)) (stop func(), err error) {
	over := make(chan struct{})
	sub, err := b.conn.Subscribe(b.subject, func(m *nats.Msg) { receive(m.Data) })
	if err != nil {
		return nil, fmt.Errorf("natsbus: subscribe to %s: %w", b.subject, err)
	}
	sub.SetClosedHandler(func(string) { close(over) })
	stop = func() {
		// receive must not run any more when stop returns: the closed handler is
		// called after its last run. A connection that is closed has ended it.
		if sub.Unsubscribe() == nil {
			<-over
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := b.conn.FlushWithContext(ctx); err != nil {
		stop()
		return nil, fmt.Errorf("natsbus: subscribe to %s: %w", b.subject, err)
	}
	return stop, nil
}
