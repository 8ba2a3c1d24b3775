package memblob_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/letterlock/letterlock/blob/memblob"
)

func ExampleStore_Clone() {
	ctx := context.Background()
	s := memblob.New()
	if err := s.Create(ctx, "log/1", strings.NewReader("first")); err != nil {
		log.Fatal(err)
	}
	crashed := s.Clone() // what a crash at this moment would leave
	if err := s.Create(ctx, "log/2", strings.NewReader("second")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Len(), crashed.Len())
	// Output: 2 1
}
