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
		stop := func(err error) { yield(blob.Info{}, failed("list", prefix, err)) }
		if err := ctx.Err(); err != nil {
			stop(err)
			return
		}
		if !mayBegin(prefix) {
			return
		}
		last := after
		for at, more := (place{after: startAfter(after)}), true; more; {
			page, err := s.page(ctx, prefix, at)
			if err != nil {
				stop(err)
				return
			}
			for _, info := range page.objects {
				if info.Name <= last {
					if last == after {
						continue // the server was asked for a little more
					}
					stop(fmt.Errorf("the server lists %s after %s", info.Name, last))
					return
				}
				if err := ctx.Err(); err != nil {
					stop(err)
					return
				}
				last = info.Name
				if !yield(info, nil) {
					return
				}
			}
			if at, more = page.next, page.more; more {
				if err := ctx.Err(); err != nil {
					stop(err)
					return
				}
			}
		}
	}
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
		return err
	})
	if err != nil {
		return page{}, err
	}
	p := page{more: aws.ToBool(out.IsTruncated)}
	var lastKey string
	for _, o := range out.Contents {
		lastKey = aws.ToString(o.Key)
		if out.EncodingType == types.EncodingTypeUrl {
			if lastKey, err = url.QueryUnescape(lastKey); err != nil {
				return page{}, fmt.Errorf("the server lists a key that is not encoded as it says: %w", err)
			}
		}
		name, ok := strings.CutPrefix(lastKey, s.prefix)
		if ok && strings.HasPrefix(name, prefix) && blob.CheckName(name) == nil {
			p.objects = append(p.objects, blob.Info{Name: name, Size: aws.ToInt64(o.Size)})
		}
	}
	if !p.more {
		return p, nil
	}
	name, ok := strings.CutPrefix(lastKey, s.prefix)
	token := aws.ToString(out.NextContinuationToken)
	switch {
	case ok && name > at.after:
		p.next = place{after: name}
	case lastKey == "" && token != "" && token != at.token:
		p.next = place{after: at.after, token: token}
	default:
		return page{}, errors.New("the server says that there is more, and not where")
	}
	return p, nil
}
