package mailbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
)

// Count is a number of objects and their bytes.
type Count struct {
	Objects int
	Bytes   int64
}

func (c *Count) add(size int64) {
	c.Objects++
	c.Bytes += size
}

// Usage is what an account takes in the store, by kind of object. It is what
// whoever holds the store can count.
type Usage struct {
	Total     Count
	Bodies    Count // one for each message, copies share theirs
	Entries   Count // of the log
	Snapshots Count // with pages and metadata
	Keys      Count // slots, identities before, and what is published for deliverers
}

// Usage counts the objects of an account by listing them. It needs no secret, and
// fails with [ErrNoAccount].
func (s *Store) Usage(ctx context.Context, name string) (Usage, error) {
	name, err := CanonicalAccount(name)
	if err != nil {
		return Usage{}, fmt.Errorf("%w: %w", ErrNoAccount, err)
	}
	id, err := s.find(ctx, name)
	if err != nil {
		return Usage{}, err
	}
	return s.usage(ctx, layout.AccountPrefix(id), func(string, int64) {})
}

// usage counts what is below a prefix and tells each of it.
func (s *Store) usage(ctx context.Context, prefix string, each func(object string, size int64)) (u Usage, err error) {
	for info, err := range s.blobs.List(ctx, prefix, "") {
		if err != nil {
			return u, fmt.Errorf("mailbox: count objects: %w", err)
		}
		object := strings.TrimPrefix(info.Name, prefix)
		u.Total.add(info.Size)
		switch layout.FolderOf(object) {
		case layout.BodyFolder:
			u.Bodies.add(info.Size)
		case eventlog.EntryFolder(""):
			u.Entries.add(info.Size)
		case eventlog.SnapshotFolder(""), layout.PackFolder:
			u.Snapshots.add(info.Size)
		case layout.KeyFolder, layout.RingFolder, layout.SlotFolder:
			u.Keys.add(info.Size)
		}
		each(object, info.Size)
	}
	return u, nil
}

// Contents is what only the keys of an account tell about its size.
type Contents struct {
	Usage
	Mailboxes int
	Messages  int   // in all mailboxes, every copy
	Size      int64 // of all these messages
	// Garbage is the bodies and packs that the newest state does not refer to. An older snapshot still may: what was superseded is kept for
	// [Options.Grace].
	Garbage Count
}

// Contents counts what the account holds. It reads all pages and no body.
func (h *Account) Contents(ctx context.Context) (Contents, error) {
	a, err := h.fresh(ctx)
	if err != nil {
		return Contents{}, err
	}
	defer a.leave()
	// The listing comes first: what comes into the store after it is not counted,
	// and what the state refers to by then is not taken for garbage.
	sizes := map[string]int64{}
	var c Contents
	c.Usage, err = a.store.usage(ctx, a.prefix, func(object string, size int64) {
		switch layout.FolderOf(object) {
		case layout.BodyFolder, layout.PackFolder:
			sizes[object] = size
		}
	})
	if err != nil {
		return Contents{}, err
	}
	if err := a.catchUp(ctx); err != nil {
		return Contents{}, err
	}
	used := func(folder string, id eventlog.ObjectID) { delete(sizes, folder+id.String()) }
	for id := range a.state().Packs {
		used(layout.PackFolder, eventlog.ObjectID(id))
	}
	for _, m := range a.state().Mailboxes {
		c.Mailboxes++
		c.Messages += m.Messages
		c.Size += int64(m.Size)
		for _, r := range m.Pages {
			p, err := a.pages.Page(ctx, r)
			if err != nil {
				return Contents{}, err
			}
			for i := range p.Bodies {
				used(layout.BodyFolder, p.Bodies[i].ID)
			}
		}
	}
	for _, size := range sizes {
		c.Garbage.add(size)
	}
	return c, nil
}

// logOf returns a keyless handle on an account's log.
func (s *Store) logOf(ctx context.Context, name string) (*eventlog.Log, error) {
	name, err := CanonicalAccount(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAccount, err)
	}
	id, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	return eventlog.New(eventlog.Config{Store: s.blobs, Prefix: layout.AccountPrefix(id), ID: id})
}

// Cacheable reports whether an object may be served from a cache that does not notice
// deletes, such as package cacheblob: bodies and packs may. Their names
// are random, and nobody asks for one that no state points to. The log must be read as
// it is, whose end decides who writes next; and so must slots, where a token that was
// revoked has to be gone, names and keys.
func Cacheable(name string) bool {
	rest, ok := strings.CutPrefix(name, layout.AccountFolder)
	if !ok {
		return false
	}
	_, rest, _ = strings.Cut(rest, "/")
	switch layout.FolderOf(rest) {
	case layout.BodyFolder, layout.PackFolder:
		return true
	}
	return false
}
