package cacheblob_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/cacheblob"
	"github.com/letterlock/letterlock/blob/memblob"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	bucket := blobtest.NewCounting(memblob.New(), nil) // in a program, of package s3blob
	s, err := cacheblob.Open(bucket, dir, cacheblob.Options{
		Cacheable: func(name string) bool { return strings.HasPrefix(name, "body/") }, // mailbox.Cacheable, for mail
		Size:      1 << 30,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	if err := s.Create(ctx, "body/1", strings.NewReader("a message")); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		r, err := s.Open(ctx, "body/1", 0, -1)
		if err != nil {
			log.Fatal(err)
		}
		data, err := io.ReadAll(r)
		fmt.Printf("%s %v\n", data, err)
		r.Close()
	}
	fmt.Println("read from the bucket:", bucket.Total(blobtest.OpOpen).Calls)
	// Output:
	// a message <nil>
	// a message <nil>
	// a message <nil>
	// read from the bucket: 1
}
