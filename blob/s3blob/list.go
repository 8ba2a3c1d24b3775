package s3blob

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/letterlock/letterlock/blob"
)

// alphabet are the bytes of names, in order.
const alphabet = "-./0123456789_abcdefghijklmnopqrstuvwxyz"

// List implements blob.Store. It costs one request for each 1,000 objects, and
// none for a prefix that no name can have. No connection is held while the loop's
// body runs.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		l := &lister{s: s, ctx: ctx, prefix: prefix, after: after, last: after, yield: yield}
		if err := l.run(); err != nil {
			yield(blob.Info{}, failed("list", prefix, err))
		}
	}
}

// lister is one listing under way.
type lister struct {
	s             *Store
	ctx           context.Context
	prefix, after string
	last          string // the name that was yielded last, after at first
	yield         func(blob.Info, error) bool
	broken        bool // the caller left the loop
}

func (l *lister) run() error {
	if err := l.ctx.Err(); err != nil || !mayBegin(l.prefix) {
		return err
	}
	at := place{after: startAfter(l.after)}
	for {
		p, err := l.s.page(l.ctx, l.prefix, at)
		if err != nil {
			return err
		}
		if err := l.objects(p.objects); err != nil || l.broken || !p.more {
			return err
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
		at = p.next
	}
}

// objects yields the objects of a page.
func (l *lister) objects(objects []blob.Info) error {
	for _, info := range objects {
		switch {
		case info.Name <= l.last && l.last == l.after:
			continue // the server was asked for a little more
		case info.Name <= l.last:
			return fmt.Errorf("the server lists %s after %s", info.Name, l.last)
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
		l.last = info.Name
		if l.broken = !l.yield(info, nil); l.broken {
			return nil
		}
	}
	return nil
}

// mayBegin reports whether a name can begin with prefix.
func mayBegin(prefix string) bool {
	if prefix == "" || strings.HasSuffix(prefix, "/") {
		prefix += "x"
	}
	return blob.CheckName(prefix) == nil
}

// startAfter returns a string of plain characters, and of a length that S3 takes,
// such that no name lies between it and after, and it is not greater. What after
// has beyond the first byte that no name has there does not matter.
func startAfter(after string) string {
	after = after[:min(len(after), blob.MaxName+1)]
	for i := range len(after) {
		if strings.IndexByte(alphabet, after[i]) >= 0 {
			continue
		}
		// Of the names that begin like this, those with a smaller byte here are
		// before it: "~" is greater than all that can follow.
		for j := len(alphabet) - 1; j >= 0; j-- {
			if alphabet[j] < after[i] {
				return after[:i] + alphabet[j:j+1] + "~"
			}
		}
		return after[:i]
	}
	return after
}

// place is where a page begins: after a name, or where the server says.
type place struct {
	after, token string
}

// page is a part of a listing.
type page struct {
	objects []blob.Info
	more    bool
	next    place
}

// page asks for a page. The next one is asked for by the last key of this, which
// is valid for ever; the server's token is used only after a page without keys.
func (s *Store) page(ctx context.Context, prefix string, at place) (page, error) {
	in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.key(prefix)), EncodingType: types.EncodingTypeUrl}
	if at.after != "" {
		in.StartAfter = aws.String(s.key(at.after))
	}
	if s.pageSize > 0 {
		in.MaxKeys = &s.pageSize
	}
	if at.token != "" {
		in.ContinuationToken = &at.token
	}
	var out *s3.ListObjectsV2Output
	_, err := s.request(ctx, func(ctx context.Context, o func(*s3.Options)) (err error) {
		out, err = s.client.ListObjectsV2(ctx, in, o)
		if err == nil && out.IsTruncated == nil {
			// The SDK takes an empty answer for an empty bucket.
			err = oddAnswer("200 without IsTruncated, which is no answer of S3")
		}
		return err
	})
	if err != nil {
		return page{}, err
	}
	p := page{more: aws.ToBool(out.IsTruncated)}
	var lastKey string
	for _, o := range out.Contents {
		if lastKey, err = listedKey(out, o); err != nil {
			return page{}, err
		}
		name, ok := strings.CutPrefix(lastKey, s.prefix)
		if ok && strings.HasPrefix(name, prefix) && blob.CheckName(name) == nil {
			p.objects = append(p.objects, blob.Info{Name: name, Size: aws.ToInt64(o.Size)})
		}
	}
	if p.more {
		p.next, err = s.nextPlace(at, lastKey, aws.ToString(out.NextContinuationToken))
	}
	return p, err
}

// listedKey returns the key of an object of a listing.
func listedKey(out *s3.ListObjectsV2Output, o types.Object) (string, error) {
	key := aws.ToString(o.Key)
	if out.EncodingType != types.EncodingTypeUrl {
		return key, nil
	}
	key, err := url.QueryUnescape(key)
	if err != nil {
		return "", fmt.Errorf("the server lists a key that is not encoded as it says: %w", err)
	}
	return key, nil
}

// nextPlace returns where the page begins that follows the one at a place.
func (s *Store) nextPlace(at place, lastKey, token string) (place, error) {
	name, ok := strings.CutPrefix(lastKey, s.prefix)
	switch {
	case ok && name > at.after:
		return place{after: name}, nil
	case lastKey == "" && token != "" && token != at.token:
		return place{after: at.after, token: token}, nil
	}
	return place{}, errors.New("the server says that there is more, and not where")
}
