package s3blob_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/internal/fakes3"
)

// canned answers at once and without a socket, so that what a request costs is
// this package and the SDK.
type canned struct{ object []byte }

func (c canned) Do(req *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: req}
	var body []byte
	switch {
	case req.Method == http.MethodPut:
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
	case strings.HasSuffix(req.URL.Path, "/missing"):
		resp.StatusCode = http.StatusNotFound
		body = []byte(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><RequestId>1</RequestId></Error>`)
	default:
		body = c.object
	}
	resp.Header.Set("ETag", `"x"`)
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	resp.ContentLength = int64(len(body))
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// BenchmarkRequest measures the share of a request that is not the network's.
func BenchmarkRequest(b *testing.B) {
	for name, endpoint := range map[string]string{"HTTP": "http://fake.test", "HTTPS": "https://fake.test"} {
		client := s3.New(s3.Options{
			BaseEndpoint: &endpoint, Region: "us-east-1", UsePathStyle: true,
			Credentials: aws.CredentialsProviderFunc(fakes3.Credentials), HTTPClient: canned{object: make([]byte, 2000)},
		})
		s := open(b, client, s3blob.Options{NoProbe: true})
		for size, data := range map[string][]byte{"2KB": make([]byte, 2000), "1MB": make([]byte, 1<<20)} {
			b.Run(name+"/Create"+size, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					require.NoError(b, s.Create(b.Context(), "log/1", bytes.NewReader(data)))
				}
			})
		}
		b.Run(name+"/Open2KB", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := s.Open(b.Context(), "log/1", 0, -1)
				require.NoError(b, err)
				require.NoError(b, r.Close())
			}
		})
		b.Run(name+"/StatMissing", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Stat(b.Context(), "missing"); !errors.Is(err, fs.ErrNotExist) {
					b.Fatal(err)
				}
			}
		})
	}
}
