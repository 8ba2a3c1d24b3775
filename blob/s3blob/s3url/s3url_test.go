package s3url_test

import (
	"context"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/smithy-go/logging"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/blob/s3blob/s3url"
	"github.com/letterlock/letterlock/internal/fakes3"
)

// environment keeps the machine's own settings out of the tests.
func environment(t *testing.T, key string) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
}

func TestParse(t *testing.T) {
	for raw, want := range map[string]s3url.Location{
		"s3://mail":                 {Bucket: "mail"},
		"s3://mail/":                {Bucket: "mail"},
		"s3://mail/a/b?region=eu-1": {Bucket: "mail", Region: "eu-1", Options: s3blob.Options{Prefix: "a/b"}},
		"s3://mail/a/?endpoint=http://127.0.0.1:9000": {Bucket: "mail", Endpoint: "http://127.0.0.1:9000", PathStyle: true,
			Options: s3blob.Options{Prefix: "a"}},
		"s3://mail?endpoint=https://s3.example.com&path-style=false&connections=9&exclusive=true&no-probe=true": {
			Bucket: "mail", Endpoint: "https://s3.example.com",
			Options: s3blob.Options{Connections: 9, Exclusive: true, NoProbe: true}},
	} {
		got, err := s3url.Parse(raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, *got, raw)
	}
}

func TestParseRefuses(t *testing.T) {
	for raw, want := range map[string]string{
		"":                               "scheme",
		"/srv/mail":                      "scheme",
		"s3:///prefix":                   "no bucket",
		"s3://key:secret@mail/":          "no place in a URL",
		"s3://mail/%zz?secret":           "no URL",
		"s3://mail?endpoint=s3.test":     "endpoint: want a URL",
		"s3://mail?endpoint=ftp://x":     "endpoint: want a URL",
		"s3://mail?pathstyle=true":       "pathstyle: no such parameter",
		"s3://mail?path-style=yes":       "want true or false",
		"s3://mail?region=a&region=b":    "region is given 2 times",
		"s3://mail?connections=0":        "at least 1",
		"s3://mail?connections=many":     "at least 1",
		"s3://mail/a#b":                  "#",
		"s3://mail?exclusive=true;x=%zz": "cannot be understood",
	} {
		_, err := s3url.Parse(raw)
		if assert.ErrorContains(t, err, want, raw) {
			assert.NotContains(t, err.Error(), "secret")
		}
	}
}

func TestOpen(t *testing.T) {
	environment(t, fakes3.AccessKey)
	fake := fakes3.New()
	srv := httptest.NewServer(fake)
	defer srv.Close()
	s, err := s3url.Open(t.Context(), "s3://"+fakes3.Bucket+"/a/b?endpoint="+url.QueryEscape(srv.URL))
	require.NoError(t, err)
	require.NoError(t, s.Create(t.Context(), "x/y", strings.NewReader("data")))
	require.Equal(t, []string{"a/b/x/y"}, fake.Keys())
	require.NoError(t, s.Close())

	_, err = s3url.Open(t.Context(), "s3://other?endpoint="+url.QueryEscape(srv.URL))
	require.ErrorContains(t, err, `there is no bucket "other"`)
	_, err = s3url.Open(t.Context(), "s3://"+fakes3.Bucket)
	require.ErrorContains(t, err, "no region")
}

func TestWrongKeys(t *testing.T) {
	environment(t, "wrong-key")
	srv := httptest.NewServer(fakes3.New())
	defer srv.Close()
	_, err := s3url.Open(t.Context(), "s3://"+fakes3.Bucket+"?endpoint="+url.QueryEscape(srv.URL))
	require.ErrorContains(t, err, "the access key or its secret is wrong")
	require.NotContains(t, err.Error(), "wrong-key")
}

// TestQuiet: the SDK writes no log of its own.
func TestQuiet(t *testing.T) {
	environment(t, "key")
	client, err := s3url.Client(t.Context(), &s3url.Location{Bucket: "mail"})
	require.NoError(t, err)
	require.Equal(t, logging.Nop{}, client.Options().Logger)
}

// TestNoKeys: without credentials nothing is sent, and it is not tried again.
func TestNoKeys(t *testing.T) {
	environment(t, "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	fake := fakes3.New()
	srv := httptest.NewServer(fake)
	defer srv.Close()
	_, err := s3url.Open(context.Background(), "s3://"+fakes3.Bucket+"?endpoint="+url.QueryEscape(srv.URL))
	require.ErrorContains(t, err, "not sent")
	require.ErrorContains(t, err, "are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set?")
	require.Zero(t, fake.Requests())
}

// TestNotConditional: whoever wrote a URL is told what to write in it.
func TestNotConditional(t *testing.T) {
	environment(t, fakes3.AccessKey)
	fake := fakes3.New()
	fake.Quirks.IgnoresCondition = true
	srv := httptest.NewServer(fake)
	defer srv.Close()
	_, err := s3url.Open(context.Background(), "s3://"+fakes3.Bucket+"?endpoint="+url.QueryEscape(srv.URL))
	require.ErrorIs(t, err, s3blob.ErrNotConditional)
	require.ErrorContains(t, err, "exclusive=true")
	require.NotContains(t, err.Error(), "Exclusive")
}

// FuzzParse: whatever is given, there is an error without the secrets in it, or a
// location with a bucket.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"s3://mail/a?endpoint=http://x&region=r", "s3://a:b@c", "s3://", "s3:x", "://", "s3://m?a=1;b", "s3://m?connections=-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		l, err := s3url.Parse(raw)
		if err != nil {
			require.Nil(t, l)
			return
		}
		require.NotEmpty(t, l.Bucket)
		require.GreaterOrEqual(t, l.Options.Connections, 0)
	})
}
