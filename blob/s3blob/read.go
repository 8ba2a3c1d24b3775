package s3blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/letterlock/letterlock/blob"
)

// maxObject is more than any object has, in bytes.
const maxObject = 1 << 50

// Open implements blob.Store. It costs one request, and another each time that
// the connection breaks while it is read, or was given to those who wait while
// the reader rested. Up to 64 KiB are read before it returns; a longer range is
// streamed. An object deleted while it is read yields an error where the answer
// of the server ends.
func (s *Store) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if err := check(ctx, "open", name); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, failed("open", name, errors.New("negative offset"))
	}
	if n == 0 || off > maxObject { // some servers do not know what to say to such offsets
		if _, err := s.size(ctx, s.key(name)); err != nil {
			return nil, failed("open", name, err)
		}
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	b := &body{s: s, ctx: ctx, name: name, at: off, end: math.MaxInt64}
	if n > 0 && n <= maxObject {
		b.end = off + n
	}
	b.fails.limit = s.patience
	if err := b.connect(); err != nil {
		return nil, failed("open", name, err)
	}
	if b.end-b.at > inMemory {
		s.places.rest(b)
		return b, nil
	}
	defer b.hangUp()
	data := make([]byte, b.end-b.at)
	for n := 0; n < len(data); {
		m, err := b.read(data[n:])
		if err != nil {
			return nil, failed("open", name, err)
		}
		n += m
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	if err := check(ctx, "stat", name); err != nil {
		return blob.Info{}, err
	}
	n, err := s.size(ctx, s.key(name))
	if err != nil {
		return blob.Info{}, failed("stat", name, err)
	}
	return blob.Info{Name: name, Size: n}, nil
}

// size returns the size of an object, or fs.ErrNotExist. It asks for the first
// byte and not, with HEAD, for none, which costs the same: the answer to HEAD has
// no body in which the server could say that it is the bucket which is missing,
// or by which a proxy's 404 could be told from the server's.
func (s *Store) size(ctx context.Context, key string) (int64, error) {
	r, err := s.get(ctx, key, 0, 1)
	if err != nil {
		return 0, err
	}
	r.hangUp()
	return r.size, nil
}

// ranged is an answer to a request for a range.
type ranged struct {
	x        *exchange // nil if there are no bytes there
	body     io.Reader
	from, to int64  // the range of its bytes
	size     int64  // of the whole object; 0 if there are no bytes there
	etag     string // empty if there are no bytes there
}

func (r *ranged) hangUp() {
	if r.x != nil {
		r.x.hangUp()
	}
}

// get asks for the bytes of an object from off to end. The caller ends the
// exchange.
func (s *Store) get(ctx context.Context, key string, off, end int64) (*ranged, error) {
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: &key}
	switch {
	case end != math.MaxInt64:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", off, end-1))
	case off > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", off))
	}
	var out *s3.GetObjectOutput
	x, _, err := s.stream(ctx, func(ctx context.Context, o func(*s3.Options)) (err error) {
		out, err = s.client.GetObject(ctx, in, o)
		if err != nil {
			return err
		}
		return wantETag(out.ETag)
	})
	if in.Range != nil && hasStatus(err, http.StatusRequestedRangeNotSatisfiable) {
		return &ranged{from: off, to: off}, nil // there is an object, and it ends before
	}
	if err != nil {
		return nil, missing(err)
	}
	x.body = out.Body
	r := &ranged{x: x, body: out.Body, etag: aws.ToString(out.ETag)}
	if err := r.place(in.Range != nil, out, off); err != nil {
		x.hangUp()
		return nil, err
	}
	return r, nil
}

// place finds out which bytes the answer has.
func (r *ranged) place(asked bool, out *s3.GetObjectOutput, off int64) error {
	if out.ContentRange == nil {
		if out.ContentLength == nil {
			return errors.New("the server does not tell the length")
		}
		r.to, r.size = *out.ContentLength, *out.ContentLength
		if asked && off > 0 {
			return errors.New("the server does not know ranges")
		}
		return nil
	}
	var ok bool
	if r.from, r.to, r.size, ok = parseRange(*out.ContentRange); !ok || r.from != off {
		return fmt.Errorf("the server answered with the range %q, wanted from %d", *out.ContentRange, off)
	}
	return nil
}

// parseRange parses "bytes 0-9/100" into 0, 10, 100.
func parseRange(s string) (from, to, size int64, ok bool) {
	s, ok1 := strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(s, "/")
	first, last, ok3 := strings.Cut(span, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	size, err3 := strconv.ParseInt(total, 10, 64)
	ok = ok1 && ok2 && ok3 && err1 == nil && err2 == nil && err3 == nil && 0 <= from && from <= to && to < size
	return from, to + 1, size, ok
}
