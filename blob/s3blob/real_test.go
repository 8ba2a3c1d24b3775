package s3blob_test

import (
	"context"
	"crypto/rand"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/blob/s3blob/s3url"
)

// The environment variables with the URL of a real bucket, and with that of the same
// bucket by another endpoint, which may be left out.
const (
	realURL  = "LETTERLOCK_S3_URL"
	otherURL = "LETTERLOCK_S3_URL2"
)

// TestRealServer runs the conformance suite on a real server, each part of it
// below a prefix of its own, which it empties.
func TestRealServer(t *testing.T) {
	base := os.Getenv(realURL)
	if base == "" {
		t.Skipf("to run the suite on a real server set %s=s3://bucket/prefix?endpoint=https://... and the credentials "+
			"as the SDK of AWS finds them (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY); .ci/s3 does so with versitygw", realURL)
	}
	other := os.Getenv(otherURL)
	if other == "" {
		other = base
	}
	blobtest.Run(t, func(t *testing.T) (a, b blob.Store) {
		return openReal(t, base), openReal(t, other)
	})
	t.Run("Parts", func(t *testing.T) { realParts(t, base) })
}

// openReal opens the store below the prefix of the test.
func openReal(t testing.TB, base string) *s3blob.Store {
	t.Helper()
	l, err := s3url.Parse(base)
	require.NoError(t, err)
	l.Options.Prefix = strings.Trim(l.Options.Prefix+"/"+strings.ReplaceAll(t.Name(), "/", "-")+"-"+runID, "/")
	l.Options.PartSize = s3blob.MinPartSize
	c, err := s3url.Client(t.Context(), l)
	require.NoError(t, err)
	s, err := s3blob.Open(t.Context(), c, l.Bucket, &l.Options)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.Background()
		var names []string
		for info, err := range s.List(ctx, "", "") {
			require.NoError(t, err)
			names = append(names, info.Name)
		}
		require.NoError(t, s.Delete(ctx, names...))
		require.NoError(t, s.Close())
	})
	return s
}

// runID keeps runs that were killed apart from later ones.
var runID = strings.ToLower(rand.Text()[:8])

// realParts: an object in parts is whole, and its name is taken.
func realParts(t *testing.T, base string) {
	s := openReal(t, base)
	data := string(pattern(2*s3blob.MinPartSize + 1))
	require.NoError(t, create(s, "body/1", data))
	require.True(t, data == readAll(t, s, "body/1"))
	require.ErrorIs(t, create(s, "body/1", data), fs.ErrExist)
}
