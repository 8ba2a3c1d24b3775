// Package s3blob is a blob.Store in a bucket of any S3 server with conditional
// writes, which any number of processes anywhere may share.
//
// An object is a key: log/0001 of a store with the prefix mail is the key
// mail/log/0001. Keys that are no object names are ignored. The store keeps
// what is not an object under .letterlock/, a name that no object can have.
//
// # What is promised
//
// Everything in package blob. Exactly one Create of a name wins because of one
// condition, If-None-Match: * on a PutObject, and on nothing else. [Open] proves
// with a few small requests that the server keeps it, and refuses one that does
// not, see [ErrNotConditional].
//
// A request whose answer is lost, or that the server refuses for the moment, is
// made again until [Options.Patience] ends. That cannot make an object twice: the
// same bytes are put under the same name, each Create marks its object with a
// random token, and when a name is taken the token tells whether by this very
// call. So a Create returns nil also if it was its first try that succeeded, and
// somebody else's answer was a later one's; also if a proxy repeated the request.
//
// An answer that was cut, or changed so that it is none of S3, is asked for again.
// Create stores a checksum, and an object that is read whole is compared with it.
//
// At most [Options.Connections] requests are under way, and whoever must wait is
// served in the order of arrival. A reader holds a connection only while it is
// read: one that rests gives it up to those who wait, and continues later from
// where it was.
//
// # What is not promised
//
// Objects of more than [Options.PartSize] bytes are sent in parts. The condition
// goes with their completion, but not every server keeps it there, so their
// names should be random. A process killed while it sends parts leaves
// them in the bucket: a lifecycle rule (AbortIncompleteMultipartUpload) removes
// them. A Create that returned an error that is neither fs.ErrExist nor that of
// its reader may still take effect later, when the network delivers what it had
// swallowed.
//
// The file docs/s3.md tells which servers keep the promises, and what remains of
// them on those that do not.
package s3blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/letterlock/letterlock/blob"
)

var _ blob.Store = (*Store)(nil)

// Limits of options.
const (
	MaxPrefix   = 256     // bytes of Options.Prefix; with a name this stays below the 1,024 of S3
	MinPartSize = 5 << 20 // bytes: S3 takes no smaller part but the last
	MaxPartSize = 5 << 30 // bytes: S3 takes no larger one
)

const (
	defaultConnections = 64
	defaultPartSize    = 72 << 20
	defaultStall       = 15 * time.Second
	defaultPatience    = 30 * time.Second

	inMemory = 64 << 10 // bytes of an object that are kept in memory; more is spooled, or streamed

	privateFolder = ".letterlock/" // no name begins like this
)

// ErrNotConditional is what [Open] finds if the server does not keep the one
// condition that the order of writes rests on. Another server helps, or a newer
// version of it, or [Options.Exclusive].
var ErrNotConditional = errors.New("the server does not keep If-None-Match: * (use a server with conditional writes, or let one process alone write)")

// Options adjusts a Store. The zero value is right for mail.
type Options struct {
	// Prefix is put before all names, with a slash between. It is empty or
	// segments as of a blob name, upper case allowed, of at most MaxPrefix bytes.
	// Stores in one bucket must not have prefixes of which one is the folder of
	// another.
	Prefix string

	// Connections is how many requests may be under way at once; 0 is 64. The
	// client's own limit, if it has one, should not be lower, and it should keep as
	// many idle connections for a host: http.DefaultTransport keeps 2, so that most
	// requests of a cold login begin with a TLS handshake, which takes six times the
	// CPU of all the rest.
	Connections int

	// PartSize is the size of the largest object that is sent in one request, and
	// whose creation is exclusive on every server that passes the probe, and of the
	// parts of those that are larger. 0 is 72 MiB, which holds every object of
	// letterlock that is not a message's body. At least MinPartSize, at most
	// MaxPartSize.
	PartSize int64

	// Stall is how long a request may move no byte before it is given up, and
	// counts as one whose answer is lost; 0 is 15 seconds.
	Stall time.Duration

	// Patience is how long a request that fails is made anew; 0 is 30 seconds. A
	// method that makes several requests has it for each. It does not shorten a
	// try: what a method takes at most beyond it is one Stall.
	Patience time.Duration

	// TempDir is the folder for what an object of more than 64 KiB is gathered
	// in until its length is known, at most PartSize bytes for each Create under
	// way. It holds what Create is given, which letterlock has encrypted before.
	// Empty is the system's own.
	TempDir string

	// Exclusive states that no other process writes to this prefix, and admits
	// servers without conditional writes. Open then takes a lease, an object that
	// is rewritten every ten seconds, and fails with ErrTwoWriters if another
	// Store holds it; after a crash it waits half a minute to see that nobody does.
	// Every later write fails with ErrTwoWriters once another writer was seen. The
	// store must be closed. What remains promised is in docs/s3.md.
	Exclusive bool

	// NoProbe leaves out the probe of the server, some 30 small requests. It is
	// for short-lived programs on a bucket that was probed before.
	NoProbe bool
}

// Store is a blob.Store in a bucket. It is safe for concurrent use, by any number
// of stores and processes on the same prefix.
type Store struct {
	client   *s3.Client
	bucket   string
	prefix   string // empty, or ends in a slash
	partSize int64
	stall    time.Duration
	patience time.Duration
	tempDir  string

	pageSize int32 // names of a listing asked for at once; 0 is as many as the server gives

	places      *places
	conditional bool // the server keeps If-None-Match
	names       nameLocks
	lease       *lease // nil if not Exclusive
}

// Open returns the store in a bucket, which must exist. It probes the server: an
// error says which promise was broken and what to do. A nil o means all defaults.
//
// Of the client the endpoint, the region, the credentials and the HTTP client
// matter. Its retryer and its choice of checksums are not used: retries would
// hide whose object took a name, and several servers do not know newer checksums.
// Package s3url makes a client as most would.
//
// ctx is for the call alone; the store may outlive it.
func Open(ctx context.Context, client *s3.Client, bucket string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	s, err := newStore(client, bucket, *o)
	if err != nil {
		return nil, fmt.Errorf("s3blob: open bucket %q: %w", bucket, err)
	}
	if err := s.begin(ctx, o); err != nil {
		return nil, fmt.Errorf("s3blob: open bucket %q: %w", bucket, err)
	}
	return s, nil
}

func newStore(client *s3.Client, bucket string, o Options) (*Store, error) {
	switch {
	case client == nil:
		return nil, errors.New("no client")
	case bucket == "" || strings.ContainsAny(bucket, "/ ?#"):
		return nil, errors.New("this is no name of a bucket")
	case o.Connections < 0 || o.Stall < 0 || o.Patience < 0:
		return nil, errors.New("a negative option")
	case o.PartSize != 0 && (o.PartSize < MinPartSize || o.PartSize > MaxPartSize):
		return nil, fmt.Errorf("parts of %d bytes, want %d to %d", o.PartSize, MinPartSize, MaxPartSize)
	case len(o.Prefix) > MaxPrefix:
		return nil, fmt.Errorf("a prefix of %d bytes is longer than %d", len(o.Prefix), MaxPrefix)
	}
	s := &Store{
		client:      client,
		bucket:      bucket,
		partSize:    orDefault(o.PartSize, defaultPartSize),
		stall:       orDefault(o.Stall, defaultStall),
		patience:    orDefault(o.Patience, defaultPatience),
		tempDir:     o.TempDir,
		places:      newPlaces(orDefault(o.Connections, defaultConnections)),
		conditional: true,
		names:       nameLocks{held: map[string]*nameLock{}},
	}
	if o.Prefix != "" {
		if err := blob.CheckName(strings.ToLower(o.Prefix)); err != nil {
			return nil, fmt.Errorf("prefix: %w", err)
		}
		s.prefix = o.Prefix + "/"
	}
	return s, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// begin probes the server and takes the lease, as the options want it.
func (s *Store) begin(ctx context.Context, o *Options) error {
	if o.Exclusive {
		// Without the probe it is not known whether the condition would be
		// refused, ignored or kept, so nothing is built on it.
		s.conditional = false
	}
	if !o.NoProbe {
		conditional, err := s.probe(ctx)
		if err != nil {
			return err
		}
		if !conditional && !o.Exclusive {
			return ErrNotConditional
		}
		s.conditional = conditional
	}
	if o.Exclusive {
		l, err := s.takeLease(ctx)
		if err != nil {
			return err
		}
		s.lease = l
	}
	return nil
}

// Close ends what the store does in the background and gives the lease of an
// exclusive one back. Other stores have nothing to close. Calls of other methods
// must have returned; readers may still be open.
func (s *Store) Close() error {
	if s.lease == nil {
		return nil
	}
	if err := s.lease.end(); err != nil {
		return fmt.Errorf("s3blob: close bucket %q: %w", s.bucket, err)
	}
	return nil
}

// key returns the key of an object.
func (s *Store) key(name string) string {
	return s.prefix + name
}

// check is what every method that takes a name begins with.
func check(ctx context.Context, op, name string) error {
	if err := blob.CheckName(name); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if err := ctx.Err(); err != nil {
		return failed(op, name, err)
	}
	return nil
}

// failed returns the error of an op on an object.
func failed(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}
