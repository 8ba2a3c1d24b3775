// Package access opens what commands work on: a store by -store and -name-key, and
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

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/cacheblob"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/observeblob"
	"github.com/letterlock/letterlock/blob/s3blob/s3url"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/observe"
)

// Flags say which store a command works on.
type Flags struct {
	dir     string
	nameKey string

	Watch     observe.Hooks // nobody but in serve
	Cache     string        // folder of a cache; none but in serve
	CacheSize int64         // MiB
}

func (f *Flags) Add(fs *flag.FlagSet) {
	fs.StringVar(&f.dir, "store", "", "the `folder` of the store, or s3://BUCKET/PREFIX; must be given")
	fs.StringVar(&f.nameKey, "name-key", "", "the `file` of the key under which account names are kept, beside\nthe store and not in it (default the folder's name + .namekey;\nmust be given for a bucket)")
}

// openMode says what a command does with a store that is not there yet.
type openMode bool

const (
	MustExist openMode = false
	MayCreate openMode = true
)

// Store is the accounts, and what must be closed beneath them.
type Store struct {
	*mailbox.Store
	blobs io.Closer // nil if there is nothing to close
}

func (s *Store) Close() error {
	err := s.Store.Close()
	if s.blobs != nil {
		err = errors.Join(err, s.blobs.Close())
	}
	return err
}

// Open opens the store, and makes a new one if mode allows. A nil logger is none.
// The caller closes the store.
func (f *Flags) Open(ctx context.Context, p *cli.Program, mode openMode, logger *slog.Logger) (*Store, error) {
	if err := f.resolve(); err != nil {
		return nil, err
	}
	blobs, closer, err := f.blobs(ctx, mode)
	if err != nil {
		return nil, err
	}
	s := &Store{blobs: closer}
	key, err := f.key(mode)
	if err == nil {
		blobs = observeblob.Wrap(blobs, f.Watch)
		blobs, s.blobs, err = f.cached(blobs, closer)
	}
	if err == nil {
		s.Store, err = mailbox.Open(ctx, blobs, mailbox.Options{
			NameKey: key, Logger: logger, Password: p.PasswordCost, Observe: f.Watch, Quotas: true,
			Pool:      crypto.NewPool(crypto.PoolOptions{ReturnMemory: true}),
			NoCollect: mode == MustExist, // a command does what it is asked for; serve also collects
		})
	}
	if err != nil && s.blobs != nil {
		err = errors.Join(err, s.blobs.Close())
	}
	return s, err
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

// bucket reports whether the store is in a bucket and not in a folder.
func (f *Flags) bucket() bool { return Place(f.dir).Bucket() }

// blobs opens what the store is kept in.
func (f *Flags) blobs(ctx context.Context, mode openMode) (blob.Store, io.Closer, error) {
	if !f.bucket() {
		if err := f.look(mode); err != nil {
			return nil, nil, err
		}
		blobs, err := diskblob.Open(f.dir, nil)
		return blobs, nil, err
	}
	blobs, err := s3url.Open(ctx, f.dir)
	if err != nil {
		return nil, nil, err
	}
	if mode == MustExist {
		if _, err = blobs.Stat(ctx, FormatObject); errors.Is(err, fs.ErrNotExist) {
			err = f.noStore()
		}
		if err != nil {
			return nil, nil, errors.Join(err, blobs.Close())
		}
	}
	return blobs, blobs, nil
}

// FormatObject is in every store.
const FormatObject = "store/format"

func (f *Flags) noStore() error {
	return fmt.Errorf("there is no store in %s (account add and serve make one)", f.dir)
}

// resolve completes the flags.
func (f *Flags) resolve() error {
	if f.dir == "" {
		return cli.Usagef("-store is missing")
	}
	if f.bucket() {
		if f.nameKey == "" {
			return cli.Usagef("-name-key is missing: there is no place beside a bucket")
		}
		return nil
	}
	if f.Cache != "" {
		return cli.Usagef("-cache is for a store in a bucket")
	}
	dir, err := filepath.Abs(f.dir) // also of "." and "mail/"
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if f.nameKey == "" {
		f.nameKey = dir + nameKeyEnd
	}
	file, err := filepath.Abs(f.nameKey)
	if err != nil {
		return fmt.Errorf("name key: %w", err)
	}
	if rel, err := filepath.Rel(dir, file); err == nil && filepath.IsLocal(rel) {
		return cli.Usagef("-name-key must not be in the store's folder")
	}
	return nil
}

// Beside returns the file beside the store that ends in end.
func (f *Flags) Beside(end string) string {
	return strings.TrimSuffix(f.nameKey, nameKeyEnd) + end
}

const nameKeyEnd = ".namekey"
