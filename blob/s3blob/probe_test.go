package s3blob_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/s3blob"
	"github.com/letterlock/letterlock/internal/fakes3"
)

// TestProbe: a server that breaks a promise is refused, by name of the promise,
// and keeps nothing of the probe.
func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		quirks fakes3.Quirks
		want   string
	}{
		"ignores":  {fakes3.Quirks{IgnoresCondition: true}, "does not keep If-None-Match"},
		"refuses":  {fakes3.Quirks{RefusesCondition: true}, "does not keep If-None-Match"},
		"races":    {fakes3.Quirks{RacesCondition: true}, "of several who create a name at once one wins"},
		"ranges":   {fakes3.Quirks{ForgetsRanges: true}, "the server does not know ranges"},
		"order":    {fakes3.Quirks{ListsFolders: true}, "in the order of their names"},
		"deleted":  {fakes3.Quirks{KeepsDeleted: true}, "what was deleted is gone at once"},
		"cache":    {fakes3.Quirks{CachesAnswers: true}, "probe: "},
		"metadata": {fakes3.Quirks{ForgetsMetadata: true}, ""},
		"complete": {fakes3.Quirks{IgnoresOnComplete: true}, ""},
		"skew":     {fakes3.Quirks{Clock: time.Hour}, ""},
		"S3":       {fakes3.Quirks{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := fakes3.New()
				fake.Quirks = c.quirks
				s, err := s3blob.Open(t.Context(), fake.Client(), fakes3.Bucket, nil)
				if c.want == "" {
					require.NoError(t, err)
					require.LessOrEqual(t, fake.Requests(), 40)
				} else {
					require.Nil(t, s)
					require.ErrorContains(t, err, `s3blob: open bucket "mail": `)
					require.ErrorContains(t, err, c.want)
				}
				if !c.quirks.KeepsDeleted {
					require.Empty(t, fake.Keys())
				}
				exclusive := c.quirks.IgnoresCondition || c.quirks.RefusesCondition || c.quirks.RacesCondition
				require.Equal(t, exclusive, errors.Is(err, s3blob.ErrNotConditional))
			})
		})
	}
}

// TestOpenRefused: what the server says at once is told with what to do about it,
// without many tries.
func TestOpenRefused(t *testing.T) {
	for want, f := range map[string]fakes3.Fault{
		"ListBucket":                 {Status: 403, Code: "AccessDenied"},
		"key or its secret is wrong": {Status: 403, Code: "SignatureDoesNotMatch"},
		"expired":                    {Status: 403, Code: "ExpiredToken"},
		"another region":             {Status: 301, Code: "PermanentRedirect"},
		"from the server's; set it":  {Status: 403, Code: "RequestTimeTooSkewed"},
		"no bucket":                  {Status: 404, Code: "NoSuchBucket"},
		"no answer of S3":            {Page: true, Status: 200},
		"a web page":                 {Page: true, Status: 404},
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := fakes3.New()
				fake.SetPlan(func(fakes3.Op, string, int) fakes3.Fault { return f })
				start := time.Now()
				_, err := s3blob.Open(t.Context(), dated{fake}.client(), fakes3.Bucket, nil)
				require.ErrorContains(t, err, want)
				require.Zero(t, time.Since(start))
				require.LessOrEqual(t, fake.Requests(), 2)
			})
		})
	}
}

// dated is a fake server all whose answers have a date.
type dated struct{ *fakes3.Server }

func (d dated) Do(req *http.Request) (*http.Response, error) {
	resp, err := d.Server.Do(req)
	if err == nil {
		resp.Header.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	}
	return resp, err
}

func (d dated) client() *s3.Client {
	o := d.Server.Client().Options()
	o.HTTPClient = d
	return s3.New(o)
}

// TestForbiddenPrefix: what is forbidden in one folder harms no other.
func TestForbiddenPrefix(t *testing.T) {
	bubble(t, s3blob.Options{}, func(t *testing.T, fake *fakes3.Server, s *s3blob.Store) {
		fake.SetPlan(func(op fakes3.Op, key string, _ int) fakes3.Fault {
			if strings.HasPrefix(key, "secret/") {
				return fakes3.Fault{Status: 403, Code: "AccessDenied"}
			}
			return fakes3.Fault{}
		})
		require.ErrorContains(t, create(s, "secret/1", "data"), "create secret/1: 403 AccessDenied")
		_, err := s.Stat(t.Context(), "secret/1")
		require.ErrorContains(t, err, "stat secret/1: 403 AccessDenied")
		require.NoError(t, create(s, "open/1", "data"))
	})
}

// TestOpenElsewhere: endpoints that are no S3 servers, over sockets.
func TestOpenElsewhere(t *testing.T) {
	quick := &s3blob.Options{Patience: 100 * time.Millisecond, Stall: 2 * time.Second}
	smtp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := smtp.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("220 mail.example.com ESMTP\r\n"))
			c.Close()
		}
	}()
	defer func() { smtp.Close(); silent.Close(); <-done }()
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	secure := httptest.NewTLSServer(fakes3.New())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of the handshake
	defer secure.Close()
	for endpoint, want := range map[string]string{
		"http://" + smtp.Addr().String():                    "given up",
		"http://" + silent.Addr().String():                  "no byte moved",
		"http://" + closed.Addr().String():                  "refused",
		web.URL:                                             "404",
		"https://" + strings.TrimPrefix(web.URL, "http://"): "does not speak TLS",
		secure.URL: "TLS: ",
	} {
		_, err := s3blob.Open(t.Context(), client(t, endpoint), fakes3.Bucket, quick)
		require.ErrorContains(t, err, want, endpoint)
		require.ErrorContains(t, err, "probe: a missing object is reported as missing: ")
	}
}

// TestOpenOptions: options that cannot be meant.
func TestOpenOptions(t *testing.T) {
	c := fakes3.New().Client()
	for want, o := range map[string]s3blob.Options{
		"prefix":   {Prefix: "/mail"},
		"longer":   {Prefix: strings.Repeat("a/", 200) + "a"},
		"segment":  {Prefix: "mail/"},
		"negative": {Stall: -1},
		"parts of": {PartSize: 1},
	} {
		_, err := s3blob.Open(t.Context(), c, fakes3.Bucket, &o)
		assert.ErrorContains(t, err, want)
	}
	_, err := s3blob.Open(t.Context(), c, "a/b", nil)
	assert.ErrorContains(t, err, "no name of a bucket")
	_, err = s3blob.Open(t.Context(), nil, "b", nil)
	assert.ErrorContains(t, err, "no client")
}

// TestNoProbe: nothing is sent before it is needed.
func TestNoProbe(t *testing.T) {
	fake := fakes3.New()
	s := open(t, fake.Client(), s3blob.Options{NoProbe: true})
	require.Zero(t, fake.Requests())
	require.NoError(t, create(s, "log/1", "data"))
}

// TestOfClient: how the client was made changes nothing: its retryer is not used,
// nor its checksums.
func TestOfClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := fakes3.New()
		o := fake.Client().Options()
		o.RetryMaxAttempts = 9
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		s := open(t, s3.New(o), s3blob.Options{})
		fake.SetPlan(first(fakes3.Put, 1, fakes3.Fault{Lose: true}))
		require.NoError(t, create(s, "log/1", "data"))
		require.Equal(t, 2, fake.Calls(fakes3.Put))
		fake.SetPlan(first(fakes3.Put, 1, fakes3.Fault{Status: 400, Code: "InvalidRequest"}))
		require.Error(t, create(s, "log/2", "data"))
		require.Equal(t, 1, fake.Requests())
	})
}

// TestExclusiveConformance: one process alone has the whole contract on a server
// without conditions.
func TestExclusiveConformance(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) (a, b blob.Store) {
		fake := fakes3.New()
		fake.Quirks.IgnoresCondition = true
		s := s3blob.Unconditional(fake.Client(), fakes3.Bucket)
		return s, s
	})
}

// TestExclusive: on any server, and no second store beside it.
func TestExclusive(t *testing.T) {
	for name, q := range map[string]fakes3.Quirks{"S3": {}, "ignores": {IgnoresCondition: true}, "refuses": {RefusesCondition: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := fakes3.New()
				fake.Quirks = q
				o := &s3blob.Options{Exclusive: true}
				start := time.Now()
				a, err := s3blob.Open(t.Context(), fake.Client(), fakes3.Bucket, o)
				require.NoError(t, err)
				require.Less(t, time.Since(start), 2*time.Second)
				require.NoError(t, create(a, "log/1", "data"))
				require.Error(t, create(a, "log/1", "data"))
				require.Equal(t, "data", readAll(t, a, "log/1"))

				_, err = s3blob.Open(t.Context(), fake.Client(), fakes3.Bucket, o)
				require.ErrorIs(t, err, s3blob.ErrTwoWriters)
				time.Sleep(time.Hour)
				require.NoError(t, create(a, "log/2", "data"), "the lease is kept")
				require.NoError(t, a.Close())
				require.Equal(t, []string{"log/1", "log/2"}, fake.Keys())

				start = time.Now()
				b, err := s3blob.Open(t.Context(), fake.Client(), fakes3.Bucket, o)
				require.NoError(t, err)
				require.Less(t, time.Since(start), 2*time.Second, "a lease given back is free")
				require.NoError(t, b.Close())
			})
		})
	}
}

// TestLeaseOfTheDead: a lease that nobody keeps is taken, after a while.
func TestLeaseOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := fakes3.New()
		fake.Set(".letterlock/lease", []byte("the dead 17\n"))
		start := time.Now()
		s := open(t, fake.Client(), s3blob.Options{Exclusive: true})
		require.GreaterOrEqual(t, time.Since(start), s3blob.LeaseTerm)
		require.NoError(t, create(s, "log/1", "data"))
	})
}

// TestLeaseTaken: one who took the lease away ends the writing, not the reading.
func TestLeaseTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := fakes3.New()
		s, err := s3blob.Open(t.Context(), fake.Client(), fakes3.Bucket, &s3blob.Options{Exclusive: true})
		require.NoError(t, err)
		require.NoError(t, create(s, "log/1", "data"))
		fake.Set(".letterlock/lease", []byte("another 1\n"))
		time.Sleep(s3blob.LeaseBeat + time.Second)
		require.ErrorIs(t, create(s, "log/2", "data"), s3blob.ErrTwoWriters)
		require.ErrorIs(t, s.Delete(t.Context(), "log/1"), s3blob.ErrTwoWriters)
		require.Equal(t, "data", readAll(t, s, "log/1"))
		require.ErrorIs(t, s.Close(), s3blob.ErrTwoWriters)
		require.Contains(t, fake.Keys(), ".letterlock/lease", "the other's lease stays")
	})
}

// TestLeaseOutOfSight: who cannot see its lease stops writing before another may
// take it, and goes on when it sees it again.
func TestLeaseOutOfSight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := fakes3.New()
		s := open(t, fake.Client(), s3blob.Options{Exclusive: true})
		fake.SetPlan(func(op fakes3.Op, key string, _ int) fakes3.Fault {
			return fakes3.Fault{Hang: strings.HasSuffix(key, "lease")}
		})
		time.Sleep(s3blob.LeaseTrust + s3blob.LeaseBeat + time.Second)
		require.ErrorContains(t, create(s, "log/1", "data"), "last renewed")
		fake.SetPlan(nil)
		time.Sleep(2 * s3blob.LeaseBeat)
		require.NoError(t, create(s, "log/1", "data"))
	})
}

// TestLeaseNotRenewed: to see the lease is not enough, because others wait for it
// to stand still.
func TestLeaseNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := fakes3.New()
		s := open(t, fake.Client(), s3blob.Options{Exclusive: true})
		fake.SetPlan(func(op fakes3.Op, key string, _ int) fakes3.Fault {
			if op == fakes3.Put && strings.HasSuffix(key, "lease") {
				return fakes3.Fault{Status: 503, Code: "SlowDown"}
			}
			return fakes3.Fault{}
		})
		time.Sleep(s3blob.LeaseTrust + s3blob.LeaseBeat + time.Second)
		require.ErrorContains(t, create(s, "log/1", "data"), "last renewed")
		require.Empty(t, slices.DeleteFunc(fake.Keys(), func(k string) bool { return k == ".letterlock/lease" }))
	})
}

// TestLeaseRace: of several who take it at once at most one goes on.
func TestLeaseRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := fakes3.New()
		fake.SetPlan(func(fakes3.Op, string, int) fakes3.Fault {
			time.Sleep(10 * time.Millisecond)
			return fakes3.Fault{}
		})
		type opened struct {
			s   *s3blob.Store
			err error
		}
		answers := make(chan opened)
		for range 5 {
			go func() {
				s, err := s3blob.Open(context.Background(), fake.Client(), fakes3.Bucket, &s3blob.Options{Exclusive: true})
				answers <- opened{s, err}
			}()
		}
		won := 0
		for range 5 {
			a := <-answers
			if a.err == nil {
				won++
				defer func() { require.NoError(t, a.s.Close()) }()
				continue
			}
			require.ErrorIs(t, a.err, s3blob.ErrTwoWriters)
		}
		require.Equal(t, 1, won)
	})
}
