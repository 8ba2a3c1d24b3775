package observeblob_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/blob/observeblob"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// printer prints requests and ignores all else.
type printer struct{ observe.Observer }

func (printer) Request(r observe.Request) {
	fmt.Println(r.Op, r.Kind, r.Result)
}

func Example() {
	ctx := context.Background()
	s := observeblob.Wrap(memblob.New(), observe.Hooks{Observer: printer{}})
	if err := s.Create(ctx, "store/format", strings.NewReader("1")); err != nil {
		log.Fatal(err)
	}
	if _, err := s.Stat(ctx, "name/none"); err == nil {
		log.Fatal("nobody made it")
	}
	// Output:
	// create store ok
	// stat name missing
}
