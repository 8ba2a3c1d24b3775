// Package blob is the storage contract of letterlock: named bytes that are
// created whole, once, and never change.
//
// Everything durable in letterlock is an object in a [Store]: a log entry, a
// snapshot, a page of a mailbox, the body of a message. Because an object never
// changes, the only question that two writers can disagree on is who created a
// name first, and [Store.Create] answers it: exactly one caller wins, in any
// number of goroutines and processes, on every implementation. All of
// letterlock's ordering rests on that one promise.
//
// Three implementations live below this package: memblob keeps objects in
// memory, diskblob in a folder that several processes may share, s3blob in a
// bucket. Package blobtest holds the conformance suite that each of them passes
// and that your own implementation should pass, and wrappers that inject faults.
//
// Nothing in this package knows what the bytes mean; they are encrypted before
// they get here. Read package crypto for that, and package eventlog for the
// first thing that is built from both.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Limits of names. They are chosen so that a name is a valid path on every file
// system of Unix (also one that folds case) and a valid key of every S3 server.
// Windows reserves a few more (con, nul, a dot at the end): diskblob refuses
// them there.
const (
	MaxName    = 512 // bytes of a whole name
	MaxSegment = 128 // bytes between two slashes
)

// ErrNotCreated is matched by an error of [Store.Create] that comes with a
// certainty: this call created nothing and nothing of it will appear later, as
// when a disk was full before the object had its name. It spares a caller the
// search for what became of the object. A store need not know: an error that does
// not match says nothing, and only the store may say it, never a wrapper around
// a call whose answer was lost.
var ErrNotCreated = errors.New("not created")

// ErrDamaged is matched by an error of a reader of [Store.Open] whose bytes were
// damaged on their way, as a store can tell that compares a checksum at the end.
// What is kept is not damaged: reading again may help.
var ErrDamaged = errors.New("bytes were damaged on their way")

// Store holds objects. All methods may be called from many goroutines, and all
// implementations but memblob let many processes share one store.
//
// Errors match [io/fs.ErrExist] and [io/fs.ErrNotExist] with errors.Is where
// the methods say so. Every other error means that the outcome is not known: a
// Create that returned one may have stored the object, and a caller that must
// know reads the name back, unless the error matches [ErrNotCreated]. Errors name
// the operation and the object.
//
// A cancelled context makes a method return soon with an error that matches
// ctx.Err(). What cannot be interrupted is waited for: a Read of the reader that
// Create was given, a system call.
//
// A name that [CheckName] refuses is refused with its error, and the store is
// not touched.
//
// An object that can be seen is whole. It is durable once Open has returned it,
// or a Create of its name, by whoever, has returned nil or fs.ErrExist. What List
// and Stat tell of may still have a moment to go.
type Store interface {
	// Create stores all that r yields as a new object under name, durable when
	// it returns nil. It fails with fs.ErrExist if the name is taken, by
	// whoever: of any number of concurrent calls for one name exactly one
	// returns nil. Readers see the whole object or none. If r fails, Create
	// returns that error (errors.Is finds it) and the name stays free. Create
	// reads r to its end at most once, perhaps by its WriteTo, and never after it
	// returned; it need not read r at all if the name is taken. fs.ErrExist is as
	// durable as nil: the object of the winner is there after a power failure. r
	// must not fail with fs.ErrExist itself, which nobody could tell from the
	// store's.
	Create(ctx context.Context, name string, r io.Reader) error

	// Open returns the bytes of an object from off on, n of them, or all to the
	// end if n is negative. A range that reaches beyond the end is cut at the
	// end; off at or beyond the end yields no bytes; a negative off is an error.
	// It fails with fs.ErrNotExist if there is no such object, also if no bytes
	// of it are asked for. What it returns is durable: readers act on it, and must
	// not have acted on what a power failure takes back. One Open costs at most
	// one request of the backend. The caller closes the reader and keeps ctx alive
	// until then: reading may fail once it is cancelled. An object deleted while
	// it is read yields the rest of its bytes or an error, never other bytes.
	Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error)

	// Stat returns the name and size of an object, or fs.ErrNotExist.
	Stat(ctx context.Context, name string) (Info, error)

	// List yields the objects whose names begin with prefix and are greater
	// than after, in ascending byte order of their whole names. An object
	// created or deleted while the listing runs may or may not be in it; every
	// other object is, once. After it yields an error it stops. prefix and after
	// are any strings, not only names: prefix need not end at a slash, both may
	// be empty, and a prefix that no name can have yields nothing.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]

	// Delete removes objects. Names that do not exist are no error: deleting
	// twice is deleting. It goes on past a name that fails and returns all the
	// errors joined. When it returns nil the names are gone durably; while it has
	// not, a power failure may leave any of them, in no order: whoever needs an
	// order makes a call for each step.
	Delete(ctx context.Context, names ...string) error
}

// Info describes an object.
type Info struct {
	Name string
	Size int64 // bytes
}

// CheckName reports what is wrong with a name, or nil. A name is one or more
// segments joined by slashes; a segment is 1 to [MaxSegment] bytes of a-z, 0-9,
// '.', '_' and '-', and does not begin with a dot. Upper case is not allowed so
// that file systems that fold case keep names apart.
//
// A name must not be the folder of another (a and a/b): stores that keep
// objects as files cannot hold both. CheckName cannot see that; the second
// Create fails or succeeds as the backend can.
func CheckName(name string) error {
	if name == "" {
		return fmt.Errorf("blob: empty name")
	}
	if len(name) > MaxName {
		return fmt.Errorf("blob: name of %d bytes is longer than %d", len(name), MaxName)
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			c := name[i]
			ok := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.' && i > start
			if !ok {
				return fmt.Errorf("blob: name %q: byte %q at %d is not allowed", name, c, i)
			}
			continue
		}
		if n := i - start; n == 0 || n > MaxSegment {
			return fmt.Errorf("blob: name %q: segment of %d bytes at %d, want 1 to %d", name, n, start, MaxSegment)
		}
		start = i + 1
	}
	return nil
}
