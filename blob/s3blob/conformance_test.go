package s3blob_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/internal/fakes3"
)

// client returns a client of a server behind a socket, with connections of its
// own.
func client(t testing.TB, endpoint string) *s3.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return s3.New(s3.Options{
		BaseEndpoint: &endpoint,
		Region:       "us-east-1",
		UsePathStyle: true,
		Credentials:  aws.CredentialsProviderFunc(fakes3.Credentials),
		HTTPClient:   &http.Client{Transport: tr},
	})
}

func listen(t testing.TB, h http.Handler) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func open(t testing.TB, c *s3.Client, o s3blob.Options) *s3blob.Store {
	t.Helper()
	s, err := s3blob.Open(t.Context(), c, fakes3.Bucket, &o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// TestConformance runs the suite over sockets, with two clients that share
// nothing, as those of two processes. TestExclusiveConformance runs it with all
// defaults.
func TestConformance(t *testing.T) {
	o := s3blob.Options{Prefix: "Some/prefix.of-mine", PartSize: s3blob.MinPartSize, TempDir: t.TempDir(), Connections: 12}
	blobtest.Run(t, func(t *testing.T) (a, b blob.Store) {
		fake := fakes3.New()
		t.Cleanup(func() { require.Zero(t, fake.Uploads(), "parts were left") })
		url := listen(t, fake)
		return open(t, client(t, url), o), open(t, client(t, url), o)
	})
}
