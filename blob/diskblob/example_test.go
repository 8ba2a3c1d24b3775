package diskblob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/letterlock/letterlock/blob/diskblob"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	s, err := diskblob.Open(filepath.Join(dir, "mail"), &diskblob.Options{Reserve: 64 << 20})
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Writable(); err != nil {
		log.Fatal(err) // a full or read-only disk, or another user's folder
	}
	// A name is given once. When Create returns, the object survives a power failure.
	fmt.Println(s.Create(ctx, "log/1", strings.NewReader("first")))
	err = s.Create(ctx, "log/1", strings.NewReader("second"))
	fmt.Println(errors.Is(err, fs.ErrExist))

	r, err := s.Open(ctx, "log/1", 1, 3)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	part, err := io.ReadAll(r)
	fmt.Printf("%s %v\n", part, err)
	for info, err := range s.List(ctx, "log/", "") {
		fmt.Println(info.Name, info.Size, err)
	}
	// Output:
	// <nil>
	// true
	// irs <nil>
	// log/1 5 <nil>
}
