package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/cacheblob"
	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/blob/observeblob"
	"github.com/letterlock/letterlock/blob/s3blob/s3url"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/observe"
)

// storeFlags say which store a command works on.
type storeFlags struct {
	dir     string
	nameKey string

	watch     observe.Hooks // nobody but in serve
	cache     string        // folder of a cache; none but in serve
	cacheSize int64         // MiB
}

func (f *storeFlags) add(fs *flag.FlagSet) {
	fs.StringVar(&f.dir, "store", "", "the `folder` of the store, or s3://BUCKET/PREFIX; must be given")
	fs.StringVar(&f.nameKey, "name-key", "", "the `file` of the key under which account names are kept, beside\nthe store and not in it (default the folder's name + .namekey;\nmust be given for a bucket)")
}

// nameKeyHelp explains -name-key to those whose command makes the file.
const nameKeyHelp = `The store knows accounts only by a salted hash of their names. So that
"account list" can list them, the names are also kept encrypted, under a key
in a file beside the store: the folder's name + .namekey, or what -name-key
says. The first "account add" or "serve" makes it. Do not copy it to where
the store is copied; without it all works but the list.`

// openMode says what a command does with a store that is not there yet.
type openMode bool

const (
	mustExist openMode = false
	mayCreate openMode = true
)

// store is the accounts, and what must be closed beneath them.
type store struct {
	*mailbox.Store
	blobs io.Closer // nil if there is nothing to close
}

func (s *store) Close() error {
	err := s.Store.Close()
	if s.blobs != nil {
		err = errors.Join(err, s.blobs.Close())
	}
	return err
}

// open opens the store, and makes a new one if mode allows. A nil logger is none.
// The caller closes the store.
func (f *storeFlags) open(ctx context.Context, p *program, mode openMode, logger *slog.Logger) (*store, error) {
	if err := f.resolve(); err != nil {
		return nil, err
	}
	blobs, closer, err := f.blobs(ctx, mode)
	if err != nil {
		return nil, err
	}
	s := &store{blobs: closer}
	key, err := f.key(mode)
	if err == nil {
		blobs = observeblob.Wrap(blobs, f.watch)
		blobs, s.blobs, err = f.cached(blobs, closer)
	}
	if err == nil {
		s.Store, err = mailbox.Open(ctx, blobs, mailbox.Options{
			NameKey: key, Logger: logger, Password: p.cost, Observe: f.watch, Quotas: true,
			NoCollect: mode == mustExist, // a command does what it is asked for; serve also collects
		})
	}
	if err != nil && s.blobs != nil {
		err = errors.Join(err, s.blobs.Close())
	}
	return s, err
}

// cached returns blobs with the cache that the flags ask for, and what is to be
// closed then.
func (f *storeFlags) cached(blobs blob.Store, under io.Closer) (blob.Store, io.Closer, error) {
	if f.cache == "" {
		return blobs, under, nil
	}
	c, err := cacheblob.Open(blobs, f.cache, cacheblob.Options{Cacheable: mailbox.Cacheable, Size: f.cacheSize << 20})
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
func (f *storeFlags) bucket() bool { return place(f.dir).bucket() }

// blobs opens what the store is kept in.
func (f *storeFlags) blobs(ctx context.Context, mode openMode) (blob.Store, io.Closer, error) {
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
	if mode == mustExist {
		if _, err = blobs.Stat(ctx, formatObject); errors.Is(err, fs.ErrNotExist) {
			err = f.noStore()
		}
		if err != nil {
			return nil, nil, errors.Join(err, blobs.Close())
		}
	}
	return blobs, blobs, nil
}

// formatObject is in every store.
const formatObject = "store/format"

func (f *storeFlags) noStore() error {
	return fmt.Errorf("there is no store in %s (account add and serve make one)", f.dir)
}

// resolve completes the flags.
func (f *storeFlags) resolve() error {
	if f.dir == "" {
		return usagef("-store is missing")
	}
	if f.bucket() {
		if f.nameKey == "" {
			return usagef("-name-key is missing: there is no place beside a bucket")
		}
		return nil
	}
	if f.cache != "" {
		return usagef("-cache is for a store in a bucket")
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
		return usagef("-name-key must not be in the store's folder")
	}
	return nil
}

// beside returns the file beside the store that ends in end.
func (f *storeFlags) beside(end string) string {
	return strings.TrimSuffix(f.nameKey, nameKeyEnd) + end
}

const nameKeyEnd = ".namekey"

// look refuses a folder that is no store and must not become one, and one that
// cannot be written.
func (f *storeFlags) look(mode openMode) error {
	info, err := os.Stat(f.dir)
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case missing && mode == mustExist:
		return f.noStore()
	case missing:
		if err := f.unmounted(); err != nil {
			return err
		}
		return writable(f.dir)
	case err != nil:
		return fmt.Errorf("store: %w", err)
	case !info.IsDir():
		return fmt.Errorf("store %s is not a folder", f.dir)
	}
	_, err = os.Stat(filepath.Join(f.dir, filepath.FromSlash(formatObject)))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("store: %w", err)
	case err == nil && mode == mayCreate:
		return writable(f.dir)
	case err == nil:
		return nil // a copy on a medium that cannot be written can be checked
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for _, e := range entries {
		// What another process that begins at this moment has made, and what a
		// new file system comes with.
		if n := e.Name(); !strings.HasPrefix(n, ".") && n != "store" && n != "lost+found" {
			if mode == mustExist {
				return fmt.Errorf("there is no store in %s: the folder is not empty, but %s is missing", f.dir, formatObject)
			}
			return fmt.Errorf("folder %s is neither empty nor a store", f.dir)
		}
	}
	if mode == mustExist {
		return f.noStore()
	}
	if err := f.unmounted(); err != nil {
		return err
	}
	return writable(f.dir)
}

// unmounted refuses to make a store whose name key is there already: its disk is
// not mounted, or it was moved, and in an empty one nobody would have an account,
// so that all mail would be sent back.
func (f *storeFlags) unmounted() error {
	// Another process that makes this store has its key a moment before the rest.
	for range 20 {
		if _, err := os.Stat(f.nameKey); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if _, err := os.Stat(filepath.Join(f.dir, filepath.FromSlash(formatObject))); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("there is no store in %s, but its name key %s is there: is a disk not mounted? For a new store remove the key", f.dir, f.nameKey)
}

// writable makes the folder, and a file in it, which goes again.
func writable(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return fmt.Errorf("make store folder: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".probe-*") // objects' names never begin with a dot
	if err != nil {
		return fmt.Errorf("store folder %s is not writable: %w", dir, cause(err))
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// key reads the name key, and makes one if mode allows. Who only looks does
// without one that is not there or not theirs to read.
func (f *storeFlags) key(mode openMode) (crypto.Key, error) {
	text, err := os.ReadFile(f.nameKey)
	if mode == mustExist && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return crypto.Key{}, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err := createNameKey(f.nameKey); err != nil {
			return crypto.Key{}, fmt.Errorf("make name key %s (-name-key names another place): %w", f.nameKey, cause(err))
		}
		text, err = os.ReadFile(f.nameKey)
	}
	if err != nil {
		return crypto.Key{}, fmt.Errorf("name key: %w", err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err == nil {
		var key crypto.Key
		if key, err = crypto.KeyFromBytes(b); err == nil {
			return key, nil
		}
	}
	return crypto.Key{}, fmt.Errorf("name key %s: want 64 hexadecimal digits", f.nameKey)
}

// createNameKey writes a random key. Of processes that begin together one wins.
func createNameKey(file string) error {
	key := make([]byte, 32)
	rand.Read(key)
	err := createFile(file, hex.EncodeToString(key)+"\n")
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// createFile creates a file of one's own that appears whole, and fails with
// fs.ErrExist if there is one.
func createFile(file, text string) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	_, err = temp.WriteString(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Link(temp.Name(), file)
}
