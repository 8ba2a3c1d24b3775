package s3blob

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/letterlock/letterlock/blob"
)

// deleteBatch is how many names S3 takes in one request.
const deleteBatch = 1000

// Delete implements blob.Store. It costs one request for each 1,000 names, and
// more if the server leaves some of them for later.
func (s *Store) Delete(ctx context.Context, names ...string) error {
	var errs []error
	keys := make([]string, 0, len(names))
	for _, name := range names {
		if err := blob.CheckName(name); err != nil {
			errs = append(errs, fmt.Errorf("delete: %w", err))
			continue
		}
		keys = append(keys, s.key(name))
	}
	if len(keys) > 0 {
		if err := s.mayWrite(); err != nil {
			return errors.Join(append(errs, s.deleteError(keys[0], err))...)
		}
	}
	for batch := range slices.Chunk(keys, deleteBatch) {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, s.deleteError(batch[0], err))...)
		}
		errs = append(errs, s.deleteKeys(ctx, batch)...)
	}
	return errors.Join(errs...)
}

func (s *Store) deleteError(key string, err error) error {
	return failed("delete", strings.TrimPrefix(key, s.prefix), err)
}

// deleteKeys deletes keys, and those that the server left anew.
func (s *Store) deleteKeys(ctx context.Context, keys []string) []error {
	var errs []error
	p := patient{limit: s.patience}
	for {
		left, err := s.deleteOnce(ctx, keys)
		if err != nil {
			return append(errs, s.deleteError(keys[0], err))
		}
		keys = keys[:0]
		var a *answer
		for _, e := range left {
			a = leftAnswer(e)
			key := aws.ToString(e.Key)
			switch {
			case a.code == "NoSuchKey":
			case a.verdict == final:
				errs = append(errs, s.deleteError(key, a))
			default:
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			return errs
		}
		again, err := p.pause(ctx)
		if again {
			continue
		}
		if err == nil {
			err = p.gaveUp(a)
		}
		for _, key := range keys {
			errs = append(errs, s.deleteError(key, err))
		}
		return errs
	}
}

// leftAnswer is what the server says of a key that it did not delete.
func leftAnswer(e types.Error) *answer {
	code := aws.ToString(e.Code)
	return &answer{code: code, verdict: judgeCode(code, 0), text: strings.TrimSpace(code + " " + aws.ToString(e.Message))}
}

// deleteOnce makes the request, and returns the keys that the server left.
func (s *Store) deleteOnce(ctx context.Context, keys []string) ([]types.Error, error) {
	objects := make([]types.ObjectIdentifier, len(keys))
	for i := range keys {
		objects[i].Key = &keys[i]
	}
	var out *s3.DeleteObjectsOutput
	_, err := s.request(ctx, func(ctx context.Context, o func(*s3.Options)) (err error) {
		out, err = s.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
			Bucket: &s.bucket,
			Delete: &types.Delete{Objects: objects, Quiet: aws.Bool(true)},
		}, o, withMD5)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out.Errors, nil
}

// withMD5 makes the checksum that S3 wants with this one request the oldest one:
// every server knows it, and some refuse those that the SDK would send.
func withMD5(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		if _, err := stack.Finalize.Remove("AWSChecksum:ComputeInputPayloadChecksum"); err != nil {
			return err
		}
		return smithyhttp.AddContentChecksumMiddleware(stack)
	})
}
