package s3url_test

import (
	"fmt"
	"log"

	"github.com/letterlock/letterlock/blob/s3blob/s3url"
)

func ExampleParse() {
	l, err := s3url.Parse("s3://mail/store?endpoint=https://s3.example.com&connections=16")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Bucket, l.Options.Prefix, l.Endpoint, l.Options.Connections)
	// Output: mail store https://s3.example.com 16
}
