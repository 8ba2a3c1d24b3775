package access

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/s3blob/s3url"
)

// Place is a folder or a bucket that holds a store, or is to hold one.
type Place string

// Bucket reports whether the place is in a bucket, also if its URL is mistyped: mail
// must not go into a folder "s3:" then. A folder of that name is "./s3:".
func (p Place) Bucket() bool {
	scheme, _, ok := strings.Cut(string(p), ":")
	return ok && strings.EqualFold(scheme, s3url.Scheme)
}

// Open opens the place. The caller closes it.
func (p Place) Open(ctx context.Context, mode Mode) (_ blob.Store, closeIt func() error, err error) {
	if p.Bucket() {
		s, err := s3url.Open(ctx, string(p))
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}
	if !mode.creates() {
		if _, err := os.Stat(filepath.Join(string(p), filepath.FromSlash(FormatObject))); errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("there is no store in %s", p)
		}
	} else if err := writable(string(p)); err != nil {
		return nil, nil, err
	}
	s, err := diskblob.Open(string(p), nil)
	return s, func() error { return nil }, err
}
