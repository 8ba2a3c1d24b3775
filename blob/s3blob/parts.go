package s3blob

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// abortTime is how long a Create that failed tries to remove its parts, also when
// its context is cancelled.
const abortTime = 5 * time.Second

// inParts sends an object that is too large for one request. Its parts can be
// seen by nobody until they are completed.
func (c *creation) inParts(ctx context.Context) error {
	if err := c.free(ctx); err != nil {
		return err // the loser is spared the sending
	}
	var upload string
	_, err := c.s.request(ctx, func(ctx context.Context, o func(*s3.Options)) error {
		out, err := c.s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket:      &c.s.bucket,
			Key:         &c.key,
			ContentType: aws.String("application/octet-stream"),
			Metadata:    map[string]string{tokenKey: c.token},
		}, o)
		if err == nil {
			upload = aws.ToString(out.UploadId)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("begin parts: %w", err)
	}
	parts, err := c.sendParts(ctx, upload)
	if err == nil {
		err = c.complete(ctx, upload, parts)
	}
	if err != nil {
		if abortErr := c.abort(ctx, upload); abortErr != nil {
			err = fmt.Errorf("%w (and its parts stay: %w)", err, abortErr)
		}
	}
	return err
}

// sendParts sends what the spool holds and then what it gathers, part by part.
func (c *creation) sendParts(ctx context.Context, upload string) ([]types.CompletedPart, error) {
	var parts []types.CompletedPart
	for n := int32(1); ; n++ {
		var etag *string
		_, err := c.s.request(ctx, func(ctx context.Context, o func(*s3.Options)) error {
			out, err := c.s.client.UploadPart(ctx, &s3.UploadPartInput{
				Bucket:        &c.s.bucket,
				Key:           &c.key,
				UploadId:      &upload,
				PartNumber:    &n,
				Body:          c.sp.reader(),
				ContentLength: &c.sp.n,
			}, o)
			if err != nil {
				return err
			}
			etag = out.ETag
			return wantETag(etag)
		})
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", n, err)
		}
		parts = append(parts, types.CompletedPart{ETag: etag, PartNumber: aws.Int32(n)})
		if !c.sp.more() {
			return parts, nil
		}
		if err := c.sp.fill(); err != nil {
			return nil, err
		}
	}
}

// complete gives the object its name.
func (c *creation) complete(ctx context.Context, upload string, parts []types.CompletedPart) error {
	if err := c.s.mayWrite(); err != nil {
		return err
	}
	doubt, err := c.s.request(ctx, func(ctx context.Context, o func(*s3.Options)) error {
		_, err := c.s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket:          &c.s.bucket,
			Key:             &c.key,
			UploadId:        &upload,
			IfNoneMatch:     c.condition(),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		}, o)
		return err
	})
	switch {
	case hasStatus(err, http.StatusPreconditionFailed):
		return c.taken(ctx, doubt)
	case doubt && has(err, "NoSuchUpload"):
		// An earlier try may have completed it.
		return c.taken(ctx, doubt)
	case err != nil:
		return fmt.Errorf("complete parts: %w", err)
	}
	return nil
}

// abort removes the parts of an upload. It is no error if they are gone.
func (c *creation) abort(ctx context.Context, upload string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	_, err := c.s.request(ctx, func(ctx context.Context, o func(*s3.Options)) error {
		_, err := c.s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket: &c.s.bucket, Key: &c.key, UploadId: &upload,
		}, o)
		return err
	})
	if has(err, "NoSuchUpload") {
		return nil
	}
	return err
}
