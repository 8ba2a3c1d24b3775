package diskblob

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/blob"
)

// List implements blob.Store. Folders without a name that is asked for are not
// read. A folder is read as a whole before the first of its names is yielded,
// and what stays in memory of it are the names that are asked for; only those
// that the caller goes on to are looked at for their size.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		l := &lister{s: s, ctx: ctx, prefix: prefix, after: after, yield: yield}
		err := l.run()
		if err != nil {
			yield(blob.Info{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

// lister is one listing under way.
type lister struct {
	s             *Store
	ctx           context.Context
	prefix, after string
	yield         func(blob.Info, error) bool
	broken        bool // the caller left the loop
}

func (l *lister) run() error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	if err := l.s.attached(); err != nil {
		return err
	}
	// The deepest folder that holds all names with the prefix.
	dir := l.prefix[:strings.LastIndexByte(l.prefix, '/')+1]
	if dir != "" && checkName(dir[:len(dir)-1]) != nil {
		return nil // no names there; perhaps it leads out of the store
	}
	if err := l.folder(dir); err != nil || l.broken {
		return err
	}
	return l.s.attached()
}

// folder lists a folder, given as "" or a path that ends with a slash, unless
// that is broken off.
func (l *lister) folder(dir string) error {
	keys, err := l.read(dir)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		if strings.HasSuffix(key, "/") {
			err = l.folder(dir + key)
		} else {
			err = l.object(dir + key)
		}
		if err != nil || l.broken {
			return err
		}
	}
	return nil
}

// read returns what is wanted of a folder, in the order of the names to yield. A
// subfolder stands there with a slash at its end, as all the names in it have
// one at that place: so "a-b" and "a.b" come before "a/", and "a0" after it.
func (l *lister) read(dir string) ([]string, error) {
	f, err := os.Open(l.s.path(dir))
	if absent(err) {
		return nil, nil // no folder, no names
	}
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	var keys []string
	for {
		if err := l.ctx.Err(); err != nil {
			return nil, err
		}
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			if key := l.key(dir, e); key != "" {
				keys = append(keys, key)
			}
		}
		if err == io.EOF || absent(err) {
			break
		}
		if err != nil {
			return nil, cause(err)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// key returns the key of a folder's entry, or "" if nothing of it is wanted.
func (l *lister) key(dir string, e fs.DirEntry) string {
	name := dir + e.Name()
	if checkName(name) != nil {
		return "" // not made here, or the folder of temporary files
	}
	switch {
	case e.Type().IsRegular():
		if strings.HasPrefix(name, l.prefix) && name > l.after {
			return e.Name()
		}
	case e.IsDir():
		name += "/"
		if strings.HasPrefix(name, l.prefix) && (name > l.after || strings.HasPrefix(l.after, name)) {
			return e.Name() + "/"
		}
	}
	return ""
}

// object yields an object, if it still exists.
func (l *lister) object(name string) error {
	fi, err := os.Lstat(l.s.path(name))
	if absent(err) || err == nil && !fi.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return cause(err)
	}
	l.broken = !l.yield(blob.Info{Name: name, Size: fi.Size()}, nil)
	return nil
}
