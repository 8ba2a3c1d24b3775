package s3blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The metadata of an object.
const (
	tokenKey = "letterlock-create" // tells which call of Create made it
	sumKey   = "letterlock-crc32c" // of its bytes, in hexadecimal, if it was put in one request
)

// Create implements blob.Store. It costs one request for objects of at most
// Options.PartSize bytes, and one more to learn who has the name if it is taken.
// Larger ones cost one for each part and three besides.
func (s *Store) Create(ctx context.Context, name string, r io.Reader) error {
	if err := check(ctx, "create", name); err != nil {
		return err
	}
	sp := &spool{src: source{ctx: ctx, r: r}, limit: s.partSize, tmp: s.tempDir}
	defer sp.close()
	if err := sp.fill(); err != nil {
		return failed("create", name, err)
	}
	c := &creation{s: s, key: s.key(name), token: rand.Text(), sp: sp}
	if err := c.run(ctx); err != nil {
		return failed("create", name, err)
	}
	return nil
}

// creation is one call of Create.
type creation struct {
	s     *Store
	key   string
	token string
	sp    *spool
}

func (c *creation) run(ctx context.Context) error {
	if err := c.s.mayWrite(); err != nil {
		return err
	}
	if !c.s.conditional {
		// One process writes alone, so looking first is enough.
		release, err := c.s.names.lock(ctx, c.key)
		if err != nil {
			return err
		}
		defer release()
		if err := c.free(ctx); err != nil {
			return err
		}
	}
	if c.sp.more() {
		return c.inParts(ctx)
	}
	return c.whole(ctx)
}

// condition is what goes with the request that gives the object its name.
func (c *creation) condition() *string {
	if !c.s.conditional {
		return nil
	}
	return aws.String("*")
}

// free returns fs.ErrExist if the name is taken.
func (c *creation) free(ctx context.Context) error {
	_, err := c.s.size(ctx, c.key)
	switch {
	case err == nil:
		return fs.ErrExist
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

// whole puts the object in one request.
func (c *creation) whole(ctx context.Context) error {
	doubt, err := c.s.request(ctx, func(ctx context.Context, o func(*s3.Options)) error {
		out, err := c.s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket:        &c.s.bucket,
			Key:           &c.key,
			Body:          c.sp.reader(),
			ContentLength: &c.sp.n,
			ContentType:   aws.String("application/octet-stream"),
			IfNoneMatch:   c.condition(),
			Metadata:      map[string]string{tokenKey: c.token, sumKey: c.sp.sum.String()},
		}, o)
		if err != nil {
			return err
		}
		return wantETag(out.ETag)
	})
	if !hasStatus(err, http.StatusPreconditionFailed) {
		return err
	}
	return c.taken(ctx, doubt)
}

// wantETag refuses an answer that says yes and is none of S3, say of a proxy
// with a login page. What it did is not known.
func wantETag(etag *string) error {
	if aws.ToString(etag) == "" {
		return oddAnswer("200 without an ETag, which is no answer of S3; is this the endpoint?")
	}
	return nil
}

// taken finds out whose object has the name, and returns nil if it is that of
// this very call: an earlier try whose answer was lost, on the way to us or to a
// proxy that asked again on its own. doubt tells whether a try of ours may have
// taken effect. The token decides, and the bytes where the server forgets tokens.
func (c *creation) taken(ctx context.Context, doubt bool) error {
	token, err := c.look(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !doubt:
		return fs.ErrExist // and deleted since
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("an object had the name and is gone; whether it was this one is not known")
	case err != nil:
		return fmt.Errorf("the name is taken, but by whom is not known: %w", err)
	case token == c.token:
		return nil
	case token != "" || !doubt:
		return fs.ErrExist
	case c.sp.more():
		return errors.New("an object has the name; whether it is this one is not known")
	}
	b := c.s.newBody(ctx, strings.TrimPrefix(c.key, c.s.prefix), 0, -1)
	defer b.Close()
	var same bool
	if err = b.connect(); err == nil {
		same, err = equal(b, c.sp.reader())
	}
	switch {
	case err != nil:
		return fmt.Errorf("the name is taken, but by whom is not known: %w", err)
	case !same:
		return fs.ErrExist
	}
	return nil
}

// look returns the token of what has the name.
func (c *creation) look(ctx context.Context) (token string, err error) {
	var out *s3.GetObjectOutput
	x, _, err := c.s.stream(ctx, func(ctx context.Context, o func(*s3.Options)) (err error) {
		out, err = c.s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &c.s.bucket, Key: &c.key}, o)
		if err != nil {
			return err
		}
		return wantETag(out.ETag)
	})
	if err != nil {
		return "", missing(err)
	}
	x.body = out.Body
	x.hangUp()
	return out.Metadata[tokenKey], nil
}

// equal reports whether two readers yield the same bytes. An error is a's.
func equal(a, b io.Reader) (bool, error) {
	bufA, bufB := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, errA := io.ReadFull(a, bufA)
		if errA != nil && errA != io.EOF && errA != io.ErrUnexpectedEOF {
			return false, errA
		}
		m, _ := io.ReadFull(b, bufB)
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			return false, nil
		}
		if n < len(bufA) {
			return true, nil
		}
	}
}

// nameLocks let one call at a time work on a name, where nothing else makes
// creating exclusive.
type nameLocks struct {
	mu   sync.Mutex // guards held
	held map[string]*nameLock
}

type nameLock struct {
	users int           // those who hold it or wait for it
	turn  chan struct{} // has room for the one who holds it
}

func (l *nameLocks) lock(ctx context.Context, name string) (release func(), err error) {
	l.mu.Lock()
	n := l.held[name]
	if n == nil {
		n = &nameLock{turn: make(chan struct{}, 1)}
		l.held[name] = n
	}
	n.users++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n.users--; n.users == 0 {
			delete(l.held, name)
		}
	}
	select {
	case n.turn <- struct{}{}:
		return func() { <-n.turn; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
