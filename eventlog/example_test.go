package eventlog_test

import (
	"context"
	"fmt"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// counter is the smallest model: the state is a sum, a record adds to it.
type counter struct{}

func (counter) Load(_ context.Context, l *eventlog.Log) (int, error) {
	l.Seek(eventlog.Head{})
	return 0, nil
}

func (counter) Apply(_ context.Context, sum int, _ eventlog.Position, _ eventlog.Kind, record []byte) (int, error) {
	return sum + int(record[0]), nil
}

// Two processes share a counter that must not go over ten.
func Example() {
	ctx := context.Background()
	store := memblob.New()
	identity, err := crypto.NewIdentity()
	if err != nil {
		panic(err)
	}
	open := func(begin bool) *eventlog.Committer[int] {
		l, err := eventlog.New(eventlog.Config{
			Store: store, ID: eventlog.ID{1}, Keys: &eventlog.Keys{Identity: identity},
		})
		if err != nil {
			panic(err)
		}
		if begin {
			if err := l.Begin(ctx, []byte{0}); err != nil {
				panic(err)
			}
		}
		c := eventlog.NewCommitter(l, counter{}, eventlog.CommitterOptions[int]{})
		if err := c.Open(ctx); err != nil {
			panic(err)
		}
		return c
	}
	a, b := open(true), open(false)
	addSix := func(_ context.Context, sum int, _ eventlog.Position) ([]byte, error) {
		if sum+6 > 10 {
			return nil, fmt.Errorf("%d is too much already", sum)
		}
		return []byte{6}, nil
	}
	_, err = a.Commit(ctx, addSix)
	fmt.Println(err)
	// b has not read what a wrote, and still cannot decide on an old state.
	_, err = b.Commit(ctx, addSix)
	fmt.Println(err)
	_, err = b.CatchUp(ctx)
	sum, head := b.State()
	fmt.Println(sum, head.Pos, err)
	// Output:
	// <nil>
	// 6 is too much already
	// 6 2 <nil>
}
