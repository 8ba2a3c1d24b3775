package archive

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// indexName is the file in which a Writer notes what .eml files cannot hold: a JSON
// object a line, the first about the folder, then one for each file.
const indexName = "index.jsonl"

// indexFolder is the first line of an index.
type indexFolder struct {
	UIDValidity uint32 `json:"uidvalidity"`
	UIDNext     uint32 `json:"uidnext"`
	Subscribed  bool   `json:"subscribed"`
}

// indexMessage is another line of an index. They are in order of their names.
type indexMessage struct {
	File  string   `json:"file"`
	UID   uint32   `json:"uid"`
	Flags []string `json:"flags"`
}

// Eml returns the folders of a tree of .eml files: the files of a folder, with what
// an index beside them says, are a mailbox with the folder's name, and those of the
// tree's root are in INBOX. The date of a message is that of its file. Files of
// other kinds are left out, and named in the errors that the function returns
// beside the folders, but for those that begin with a dot.
func Eml(dir string, o Options) ([]Folder, []error) {
	var folders []Folder
	var errs []error
	err := walkFolders(dir, func(folder string) {
		e := &eml{dir: folder, options: o}
		rel, err := filepath.Rel(dir, folder)
		if err != nil {
			errs = append(errs, err)
			return
		}
		f := Folder{Name: "INBOX", Subscribed: true, Messages: e.messages}
		if rel != "." {
			levels := strings.Split(filepath.ToSlash(rel), "/")
			for i := range levels {
				levels[i] = levelName(levels[i])
			}
			f.Name = path.Join(levels...)
		}
		index, err := openIndex(folder)
		if err != nil {
			errs = append(errs, err)
		}
		if index != nil {
			f.UIDValidity, f.UIDNext, f.Subscribed = index.folder.UIDValidity, index.folder.UIDNext, index.folder.Subscribed
			index.Close()
		}
		err = names(folder, func(name string) {
			switch {
			case isEml(name):
				f.Weight++
			case name != indexName && !strings.HasPrefix(name, ".") && !isDir(filepath.Join(folder, name)) && len(errs) < 1000:
				errs = append(errs, fmt.Errorf("%w: %s is no .eml file", ErrNoMail, filepath.Join(folder, name)))
			}
		})
		if err != nil {
			errs = append(errs, err)
		}
		if f.Weight > 0 || index != nil {
			folders = append(folders, f)
		}
	})
	if err != nil {
		errs = append(errs, err)
	}
	slices.SortFunc(folders, func(a, b Folder) int { return strings.Compare(a.Name, b.Name) })
	return folders, errs
}

func isEml(name string) bool {
	return len(name) > 4 && strings.EqualFold(name[len(name)-4:], ".eml") && name[0] != '.'
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// walkFolders calls do for a folder and all below it.
func walkFolders(dir string, do func(folder string)) error {
	do(dir)
	var below []string
	var failed error
	err := names(dir, func(name string) {
		if !isEml(name) && !strings.HasPrefix(name, ".") && isDir(filepath.Join(dir, name)) {
			below = append(below, name)
		}
	})
	slices.Sort(below)
	for _, name := range below {
		failed = errors.Join(failed, walkFolders(filepath.Join(dir, name), do))
	}
	return errors.Join(err, failed)
}

type eml struct {
	dir     string
	options Options
}

func (e *eml) messages(yield func(Message, error) bool) {
	index, err := openIndex(e.dir)
	if err != nil {
		index = nil // Eml has reported it
	}
	if index != nil {
		defer index.Close()
	}
	for after := ""; ; {
		next := &smallest{n: windowNames, after: after}
		err := names(e.dir, func(name string) {
			if isEml(name) {
				next.offer(name)
			}
		})
		if err != nil {
			yield(Message{Name: e.dir}, fmt.Errorf("%w: %w", ErrFolder, err))
			return
		}
		found := next.sorted()
		if len(found) == 0 {
			return
		}
		for _, name := range found {
			msg, err := e.message(name, index)
			if !yield(msg, err) {
				return
			}
		}
		after = found[len(found)-1]
	}
}

func (e *eml) message(name string, index *index) (Message, error) {
	path := filepath.Join(e.dir, name)
	msg := Message{Name: path, Weight: 1}
	f, err := look(path)
	if err != nil {
		return msg, err
	}
	msg.Key, msg.Date, msg.Open = f.key(name), f.date, e.options.open(path)
	if index != nil {
		msg.UID, msg.Flags = index.find(name)
	}
	return msg, nil
}

// index reads the lines of an index in their order.
type index struct {
	f      *os.File
	dec    *json.Decoder
	folder indexFolder
	next   indexMessage
	last   uint32
	ended  bool
}

// openIndex opens a folder's index, or returns nil if it has none.
func openIndex(dir string) (*index, error) {
	f, err := os.Open(filepath.Join(dir, indexName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	x := &index{f: f, dec: json.NewDecoder(bufio.NewReader(f))}
	if err := x.dec.Decode(&x.folder); err != nil && err != io.EOF {
		f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return x, nil
}

func (x *index) Close() error { return x.f.Close() }

// find returns what the index says of a file. Files are asked for in ascending
// order.
func (x *index) find(name string) (uint32, []string) {
	for !x.ended && x.next.File < name {
		x.next = indexMessage{}
		if err := x.dec.Decode(&x.next); err != nil {
			x.ended = true
		}
	}
	if x.ended || x.next.File != name {
		return 0, nil
	}
	uid := x.next.UID
	if uid <= x.last {
		uid = 0
	}
	x.last = max(x.last, uid)
	return uid, x.next.Flags
}
