// Package s3url opens a store in a bucket by its URL, as programs are configured:
//
//	s3://bucket/prefix?endpoint=https://s3.example.com&region=eu-1
//
// It makes the client that package s3blob wants, with the credentials that the
// SDK of AWS finds: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile that
// AWS_PROFILE names, the role of the machine. They have no place in the URL.
//
// An embedder who has a client of the SDK already needs s3blob alone.
package s3url

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/letterlock/letterlock/blob/s3blob"
)

// Scheme is that of the URLs, by which a program can tell them from folders.
const Scheme = "s3"

const (
	dialTimeout        = 10 * time.Second
	defaultConnections = 64
)

// Location is what a URL says.
type Location struct {
	Bucket    string
	Endpoint  string // a URL; empty is AWS
	Region    string // empty is what the environment says, or us-east-1 at an Endpoint
	PathStyle bool   // the bucket is in the path, not in the name of the host
	Options   s3blob.Options
}

// Parse parses a URL: the bucket is its host, the prefix its path. The parameters
// are
//
//	endpoint     URL of a server that is not AWS, http or https
//	region       default what the environment says, or us-east-1 with an endpoint
//	path-style   true or false, default true with an endpoint
//	exclusive    true: Options.Exclusive
//	no-probe     true: Options.NoProbe
//	connections  Options.Connections
//
// Any other parameter is an error, and so is one given twice.
func Parse(rawURL string) (*Location, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// Its text has the URL, and that may have a password.
		return nil, errors.New("s3url: this is no URL like s3://bucket/prefix?endpoint=https://s3.example.com")
	}
	switch {
	case u.Scheme != Scheme:
		return nil, fmt.Errorf("s3url: scheme %q, want %q", u.Scheme, Scheme)
	case u.User != nil:
		return nil, errors.New("s3url: credentials have no place in a URL; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	case u.Host == "":
		return nil, errors.New("s3url: no bucket; want s3://bucket/prefix")
	case u.Fragment != "":
		return nil, errors.New("s3url: a # has no meaning here")
	}
	l := &Location{Bucket: u.Host}
	l.Options.Prefix = strings.TrimSuffix(strings.TrimPrefix(u.Path, "/"), "/")
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("s3url: the parameters cannot be understood")
	}
	l.PathStyle = q.Has("endpoint")
	for name, values := range q {
		if len(values) != 1 {
			return nil, fmt.Errorf("s3url: %s is given %d times", name, len(values))
		}
		if err := l.set(name, values[0]); err != nil {
			return nil, fmt.Errorf("s3url: %s: %w", name, err)
		}
	}
	return l, nil
}

func (l *Location) set(name, value string) (err error) {
	switch name {
	case "endpoint":
		var u *url.URL
		u, err = url.Parse(value)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
			return errors.New("want a URL like https://s3.example.com")
		}
		l.Endpoint = value
	case "region":
		l.Region = value
	case "path-style":
		l.PathStyle, err = parseBool(value)
	case "exclusive":
		l.Options.Exclusive, err = parseBool(value)
	case "no-probe":
		l.Options.NoProbe, err = parseBool(value)
	case "connections":
		l.Options.Connections, err = strconv.Atoi(value)
		if err != nil || l.Options.Connections < 1 {
			return errors.New("want a number of at least 1")
		}
	default:
		return errors.New("no such parameter")
	}
	return err
}

func parseBool(value string) (bool, error) {
	switch value {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("want true or false")
}

// Client returns a client for a location.
func Client(ctx context.Context, l *Location) (*s3.Client, error) {
	n := l.Options.Connections
	if n == 0 {
		n = defaultConnections
	}
	hc := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.MaxConnsPerHost = n, n, n
	}).WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout })
	// The SDK would write to standard error, whatever log the program has.
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(hc), config.WithLogger(logging.Nop{}))
	if err != nil {
		return nil, fmt.Errorf("s3url: %w", err)
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		if l.Region != "" {
			o.Region = l.Region
		}
		if l.Endpoint != "" {
			o.BaseEndpoint = &l.Endpoint
		}
		if o.Region == "" && o.BaseEndpoint != nil {
			o.Region = "us-east-1" // servers that have no regions take this name
		}
		o.UsePathStyle = l.PathStyle
	}), nil
}

// Open opens the store at a URL. The caller closes it.
func Open(ctx context.Context, rawURL string) (*s3blob.Store, error) {
	l, err := Parse(rawURL)
	if err != nil {
		return nil, err
	}
	client, err := Client(ctx, l)
	if err != nil {
		return nil, err
	}
	if client.Options().Region == "" {
		return nil, errors.New("s3url: no region; add region=... to the URL, or set AWS_REGION")
	}
	s, err := s3blob.Open(ctx, client, l.Bucket, &l.Options)
	if errors.Is(err, s3blob.ErrNotConditional) {
		err = fmt.Errorf("%w: if no other process writes here, add exclusive=true to the URL", err)
	}
	return s, err
}
