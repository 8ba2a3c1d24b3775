// Package layout names the objects of a mailbox store.
//
//	store/format, store/restored, store/copying
//	name/<hash of an account's name>
//	gone/<account>                       accounts that are being removed
//	wake/...                             see package wake
//	acct/<account>/key/, slot/, ring/    keys, see package keyring
//	acct/<account>/log/, snap/           see package eventlog
//	acct/<account>/pack/, body/          see packages pack and pages
//	acct/<account>/gc/                   see package gc
//	acct/<account>/quota/, restored/
//
// docs/format.md says what is in them.
package layout

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
)

// Folders of the store.
const (
	StoreFolder   = "store/"
	AccountFolder = "acct/"
	NameFolder    = "name/"
	RemovedFolder = "gone/"
	WakeFolder    = "wake/"
)

// Objects of the store.
const (
	Format   = StoreFolder + "format"
	Restored = StoreFolder + "restored" // accounts of this store may have marks of a restore
	Copying  = StoreFolder + "copying"  // the store is being copied here, and not whole
)

// Folders of an account, below its prefix. Those of its log and its sealed objects are
// named by package eventlog.
const (
	KeyFolder      = "key/"
	SlotFolder     = "slot/"
	RingFolder     = "ring/"
	BodyFolder     = "body/"
	QuotaFolder    = "quota/"
	RestoredFolder = "restored/"
)

// Kinds of sealed objects of an account, see [eventlog.Log.PutObject].
const (
	KindPack = "pack"
	KindMark = "gc"

	PackFolder = KindPack + "/"
	MarkFolder = KindMark + "/"
)

// AccountPrefix returns what the names of an account's objects begin with.
func AccountPrefix(id eventlog.ID) string { return AccountFolder + id.String() + "/" }

// RemovedName returns the object that says that an account is being removed.
func RemovedName(id eventlog.ID) string { return RemovedFolder + id.String() }

// BodyName returns the name of a body of the account whose objects have a prefix.
func BodyName(prefix string, id eventlog.ObjectID) string {
	return fmt.Sprintf("%s%s%x", prefix, BodyFolder, id[:])
}

// PackName returns the name of a pack of the account whose objects have a prefix.
func PackName(prefix string, id pack.ID) string { return prefix + PackFolder + id.String() }

// ReadAll reads an object of at most so many bytes. A larger one is
// [eventlog.ErrCorrupt].
func ReadAll(ctx context.Context, blobs blob.Store, name string, most int) ([]byte, error) {
	r, err := blobs.Open(ctx, name, 0, int64(most)+1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err == nil && len(b) > most {
		err = fmt.Errorf("%s: more than %d bytes: %w", name, most, eventlog.ErrCorrupt)
	}
	return b, err
}

// FolderOf returns the folder of an object of an account, named without the account's
// prefix.
func FolderOf(object string) string { return object[:strings.IndexByte(object, '/')+1] }
