package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBucketCounts sends each kind of request through the proxy.
func TestBucketCounts(t *testing.T) {
	var hosts, bodies []string
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		hosts, bodies = append(hosts, r.Host), append(bodies, string(body))
		w.Header().Set("ETag", "x")
		w.WriteHeader(http.StatusPreconditionFailed)
	}))
	defer endpoint.Close()
	b, err := openBucket("s3://mail/some/prefix?path-style=true&endpoint=" + url.QueryEscape(endpoint.URL))
	require.NoError(t, err)
	store, err := url.Parse(b.store)
	require.NoError(t, err)
	assert.Equal(t, "mail", store.Host)
	assert.Regexp(t, `^/some/prefix/bench-[a-z0-9]{10}$`, store.Path)
	assert.Equal(t, "true", store.Query().Get("path-style"))

	at := store.Query().Get("endpoint")
	bench := &bench{server: inBucket{&letterlock{bucket: b}}, result: &Result{}}
	require.NoError(t, bench.counted("all", 2, func() error {
		for _, c := range []struct{ method, query string }{
			{"PUT", ""}, {"PUT", "?partNumber=1&uploadId=x"}, {"POST", "?uploads"}, {"POST", "?uploadId=x"},
			{"GET", ""}, {"HEAD", ""}, {"GET", "?list-type=2"},
			{"DELETE", ""}, {"DELETE", ""}, {"POST", "?delete"},
		} {
			req, err := http.NewRequestWithContext(t.Context(), c.method, at+"/mail/x"+c.query, strings.NewReader("some bytes"))
			require.NoError(t, err)
			res, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusPreconditionFailed, res.StatusCode, "answers come through")
			require.Equal(t, "x", res.Header.Get("ETag"))
		}
		return nil
	}))
	assert.Equal(t, []Measure{
		{"all, PUT", 2, "requests"}, {"all, GET", 1, "requests"}, {"all, LIST", 0.5, "requests"}, {"all, DELETE", 1.5, "requests"},
	}, bench.result.Measures)
	for i := range hosts {
		assert.Equal(t, strings.TrimPrefix(at, "http://"), hosts[i], "the host is what the client signed")
		assert.Equal(t, "some bytes", bodies[i])
	}
	require.NoError(t, b.close())
	_, err = (&http.Client{}).Get(at)
	require.Error(t, err, "nobody listens any more")
}

func TestBucketRefused(t *testing.T) {
	for _, store := range []string{"", "/a/folder", "s3://mail/x", "s3://mail/x?endpoint=here", "s3://%zz"} {
		_, err := openBucket(store)
		require.Error(t, err, store)
	}
	_, err := measure(context.Background(), &options{servers: "letterlock-s3", dir: t.TempDir(), counts: quickCounts()}, io.Discard)
	require.ErrorContains(t, err, "-store")
}
