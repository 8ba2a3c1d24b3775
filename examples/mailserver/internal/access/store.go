// Package access opens what commands work on: a store by -store and -server-key, and
// an account in it by its password or recovery identity.
package access

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/cacheblob"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/observeblob"
	"github.com/letterlock/letterlock/blob/s3blob/s3url"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// Flags say which store a command works on.
type Flags struct {
	dir            string
	serverKey      string
	otherServerKey string
	deliveryKey    string

	Watch     observe.Hooks // nobody but in serve
	Cache     string        // folder of a cache; none but in serve
	CacheSize int64         // MiB
}

func (f *Flags) Add(fs *flag.FlagSet) {
	fs.StringVar(&f.dir, "store", "", "the `folder` of the store, or s3://BUCKET/PREFIX; must be given")
	fs.StringVar(&f.serverKey, "server-key", "", "the `file` of the server key, beside the store and not in it (default\nthe folder's name + .serverkey; must be given for a bucket)")
	fs.StringVar(&f.deliveryKey, "delivery-key", "", "the `file` that \"key deliverer\" wrote, in the place of the server key:\nthen mail can be delivered, and nothing else be done that needs the key")
	fs.StringVar(&f.otherServerKey, "other-server-key", "", "the `file` of one more server key, while a key is replaced by another")
}

// Mode says what a command does with its store.
type Mode int

const (
	Read      Mode = iota // looks at a store that is there, also one that cannot be written
	Change                // writes to a store that is there
	MayCreate             // writes, and makes the store if it is missing
	Serve                 // like MayCreate, but a store that cannot be written is read
)

// creates reports whether a store that is missing is made.
func (m Mode) creates() bool { return m >= MayCreate }

// Store is the accounts, and what must be closed beneath them.
type Store struct {
	*mailbox.Store
	Made bool // it is new

	// Writable returns nil if the store can be written now, and otherwise why not. A
	// bucket counts as writable.
	Writable func() error

	blobs io.Closer // nil if there is nothing to close
}

func (s *Store) Close() error {
	err := s.Store.Close()
	if s.blobs != nil {
		err = errors.Join(err, s.blobs.Close())
	}
	return err
}

// Open opens the store as a mode says. A nil logger is none. The caller closes the
// store.
func (f *Flags) Open(ctx context.Context, p *cli.Program, mode Mode, logger *slog.Logger) (*Store, error) {
	if err := f.Resolve(); err != nil {
		return nil, err
	}
	s := &Store{}
	blobs, closer, err := f.blobs(ctx, mode, s)
	if err != nil {
		return nil, err
	}
	s.blobs = closer
	o := mailbox.Options{
		Logger: logger, Password: p.PasswordCost, Observe: f.Watch, Quotas: true,
		Pool:      crypto.NewPool(crypto.PoolOptions{ReturnMemory: true}),
		NoCollect: mode != Serve, // a command does what it is asked for; serve also collects
	}
	err = f.keys(mode, s.Made, &o)
	if err == nil {
		blobs = observeblob.Wrap(blobs, f.Watch)
		blobs, s.blobs, err = f.cached(blobs, closer)
	}
	if err == nil {
		s.Store, err = mailbox.Open(ctx, blobs, o)
	}
	if errors.Is(err, mailbox.ErrServerKey) {
		err = fmt.Errorf("%w (server key %s; \"key -h\" tells more)", err, f.serverKey)
	}
	if err != nil && s.blobs != nil {
		err = errors.Join(err, s.blobs.Close())
	}
	return s, err
}

// Adopt makes the server key a key of the store.
func (f *Flags) Adopt(ctx context.Context, p *cli.Program) (rep mailbox.AdoptReport, err error) {
	if err := f.Resolve(); err != nil {
		return rep, err
	}
	s := &Store{}
	blobs, closer, err := f.blobs(ctx, Change, s)
	if err != nil {
		return rep, err
	}
	if closer != nil {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	o := mailbox.Options{Password: p.PasswordCost, NoCollect: true}
	if err := f.keys(MayCreate, true, &o); err != nil {
		return rep, err
	}
	return mailbox.AdoptServerKey(ctx, blobs, o)
}

// cached returns blobs with the cache that the flags ask for, and what is to be
// closed then.
func (f *Flags) cached(blobs blob.Store, under io.Closer) (blob.Store, io.Closer, error) {
	if f.Cache == "" {
		return blobs, under, nil
	}
	c, err := cacheblob.Open(blobs, f.Cache, cacheblob.Options{Cacheable: mailbox.Cacheable, Size: f.CacheSize << 20})
	if err != nil {
		return nil, under, fmt.Errorf("-cache: %w", err)
	}
	return c, closers{c, under}, nil
}

// closers are closed one after the other.
type closers []io.Closer

func (c closers) Close() (err error) {
	for _, c := range c {
		err = errors.Join(err, c.Close())
	}
	return err
}

// Where returns what -store says.
func (f *Flags) Where() string { return f.dir }

// ServerKeyFile returns the file of the server key, after Resolve.
func (f *Flags) ServerKeyFile() string { return f.serverKey }

// Bucket reports whether the store is in a bucket and not in a folder.
func (f *Flags) Bucket() bool { return Place(f.dir).Bucket() }

// reserve is how many bytes of the disk are kept back for changes that free space.
const reserve = 64 << 20

// blobs opens what the store is kept in, and completes s.
func (f *Flags) blobs(ctx context.Context, mode Mode, s *Store) (blob.Store, io.Closer, error) {
	if f.Bucket() {
		return f.bucketBlobs(ctx, mode, s)
	}
	made, err := f.look(mode)
	if err != nil {
		return nil, nil, err
	}
	blobs, err := diskblob.Open(f.dir, &diskblob.Options{Reserve: reserve})
	if err != nil {
		return nil, nil, err
	}
	s.Made, s.Writable = made, blobs.Writable
	if mode == Change || mode == MayCreate {
		// Refused before anybody types a password, and before a part is written. A
		// full disk is no reason: what frees space must go on.
		if err = blobs.Writable(); errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = nil
		}
	}
	return blobs, nil, err
}

func (f *Flags) bucketBlobs(ctx context.Context, mode Mode, s *Store) (blob.Store, io.Closer, error) {
	blobs, err := s3url.Open(ctx, f.dir)
	if err != nil {
		return nil, nil, err
	}
	s.Writable = func() error { return nil }
	_, err = blobs.Stat(ctx, FormatObject)
	if errors.Is(err, fs.ErrNotExist) {
		if s.Made, err = true, nil; !mode.creates() {
			err = f.noStore()
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, blobs.Close())
	}
	return blobs, blobs, nil
}

// FormatObject is in every store.
const FormatObject = "store/format"

func (f *Flags) noStore() error {
	return fmt.Errorf("there is no store in %s (account add and serve make one)", f.dir)
}

// Resolve checks and completes the flags. It looks at no file.
func (f *Flags) Resolve() error {
	if f.dir == "" {
		return cli.Usagef("-store is missing")
	}
	if f.Bucket() {
		if f.serverKey == "" {
			return cli.Usagef("-server-key is missing: there is no place beside a bucket")
		}
		_, err := s3url.Parse(f.dir)
		return err
	}
	if f.Cache != "" {
		return cli.Usagef("-cache is for a store in a bucket")
	}
	dir, err := filepath.Abs(f.dir) // also of "." and "mail/"
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if f.serverKey == "" {
		f.serverKey = dir + serverKeyEnd
	}
	file, err := filepath.Abs(f.serverKey)
	if err != nil {
		return fmt.Errorf("server key: %w", err)
	}
	if rel, err := filepath.Rel(dir, file); err == nil && filepath.IsLocal(rel) {
		return cli.Usagef("-server-key must not be in the store's folder")
	}
	return nil
}

// Beside returns the file beside the store that ends in end.
func (f *Flags) Beside(end string) string {
	return strings.TrimSuffix(f.serverKey, serverKeyEnd) + end
}

const serverKeyEnd = ".serverkey"
