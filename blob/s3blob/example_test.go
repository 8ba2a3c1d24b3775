package s3blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"strings"

	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/internal/fakes3"
)

func Example() {
	ctx := context.Background()
	// A program makes the client from its configuration, see package s3url, or has
	// one. This one is of a server in memory.
	client, bucket := fakes3.New().Client(), fakes3.Bucket

	s, err := s3blob.Open(ctx, client, bucket, &s3blob.Options{Prefix: "store"})
	if err != nil {
		log.Fatal(err) // also if the server does not keep what the store promises
	}
	defer s.Close()
	fmt.Println(s.Create(ctx, "log/1", strings.NewReader("first")))
	err = s.Create(ctx, "log/1", strings.NewReader("second"))
	fmt.Println(errors.Is(err, fs.ErrExist))

	r, err := s.Open(ctx, "log/1", 0, -1)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	fmt.Printf("%s %v\n", data, err)
	// Output:
	// <nil>
	// true
	// first <nil>
}
