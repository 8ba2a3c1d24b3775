package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Mbox returns the folders of an mbox file, or of a tree of folders as mail programs
// keep and export it. In a tree may be, side by side:
//
//   - mbox files: a folder with the name of the file, without ".mbox", below the
//     folders that it is in (without Thunderbird's ".sbd");
//   - Maildirs, as Thunderbird and mbsync keep them: a folder in which cur is, with
//     the folders below it in it;
//   - exports of Apple Mail: a folder "NAME.mbox" in which a file mbox is;
//   - folders of Apple Mail itself: "NAME.mbox" with .emlx files somewhere below.
//
// Of a profile of Thunderbird, where prefs.js is, only Mail and ImapMail are read.
// Indexes and settings of these programs are left out in silence, and files of
// another kind are named in the errors that the function returns beside the folders.
func Mbox(file string, o Options) ([]Folder, []error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, []error{err}
	}
	if !info.IsDir() {
		f, err := mboxFolder(file, mboxName("", filepath.Base(file)), o)
		if err != nil {
			return nil, []error{err}
		}
		return []Folder{f}, nil
	}
	t := &tree{options: o, emlx: map[string]*emlx{}}
	switch {
	case isFile(filepath.Join(file, "prefs.js")):
		t.folder(filepath.Join(file, "Mail"), "")
		t.utf7 = true // the names are those of IMAP
		t.folder(filepath.Join(file, "ImapMail"), "")
	case strings.HasSuffix(file, ".mbox"):
		t.entry(filepath.Dir(filepath.Clean(file)), "", fs.FileInfoToDirEntry(info))
	default:
		t.utf7 = slices.Contains(strings.Split(filepath.ToSlash(file), "/"), "ImapMail")
		t.folder(file, "")
	}
	for _, e := range t.emlx {
		t.folders = append(t.folders, e.folder())
	}
	slices.SortFunc(t.folders, func(a, b Folder) int { return strings.Compare(a.Name, b.Name) })
	return t.folders, t.errs
}

// tree collects the folders of a tree.
type tree struct {
	options Options
	utf7    bool // names are in modified UTF-7
	inside  bool // of a folder of Apple Mail, whose folders have no mail program's names
	folders []Folder
	emlx    map[string]*emlx // by the name of the folder
	errs    []error
}

// folder looks at all that is in a folder of the file system. name is that of the
// mailbox whose children they are.
func (t *tree) folder(dir, name string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			t.errs = append(t.errs, err)
		}
		return
	}
	for _, e := range entries {
		if !leftOut(e) {
			t.entry(dir, name, e)
		}
	}
}

// leftOut reports whether mail programs keep something else than mail in a file or
// folder.
func leftOut(e fs.DirEntry) bool {
	name := e.Name()
	if strings.HasPrefix(name, ".") {
		return true
	}
	if e.IsDir() {
		return strings.HasSuffix(name, ".mozmsgs") || name == "Attachments"
	}
	switch filepath.Ext(name) {
	case ".msf", ".dat", ".plist", ".sqlite", ".json":
		return true
	}
	return name == "table_of_contents" || name == "filterlog.html" || name == "archive_browser.html"
}

// entry looks at one of them.
func (t *tree) entry(dir, name string, e fs.DirEntry) {
	path := filepath.Join(dir, e.Name())
	child := mboxName(name, t.level(e.Name()))
	switch {
	case e.IsDir() && isMaildir(path):
		f, err := maildirFolder(&maildir{dir: path, options: t.options, mozilla: true}, child)
		f.Subscribed = true
		t.take(f, err)
		t.below(path, child)
	case e.IsDir() && strings.HasSuffix(e.Name(), ".mbox"):
		was := t.inside
		t.inside = true
		t.folder(path, child)
		t.inside = was
	case e.IsDir() && t.inside:
		t.folder(path, name) // a level of Apple's, such as Data or Messages
	case e.IsDir():
		t.folder(path, child)
	case strings.HasSuffix(e.Name(), ".emlx"):
		t.takeEmlx(dir, name)
	case t.inside && e.Name() == "mbox":
		t.take(mboxFolder(path, name, t.options))
	default:
		t.take(mboxFolder(path, child, t.options))
	}
}

// below looks at the folders in a Maildir, as programs without Maildir++ keep them.
func (t *tree) below(dir, name string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // the Maildir's own error
	}
	for _, e := range entries {
		if e.IsDir() && !leftOut(e) && !slices.Contains([]string{"cur", "new", "tmp"}, e.Name()) {
			t.entry(dir, name, e)
		}
	}
}

func (t *tree) take(f Folder, err error) {
	if f.Messages != nil {
		f.SpecialUse = usualUse(f.Name)
		t.folders = append(t.folders, f)
	}
	if err != nil {
		t.errs = append(t.errs, err)
	}
}

// takeEmlx notes that files of a mailbox are in a folder.
func (t *tree) takeEmlx(dir, name string) {
	if name == "" {
		name = "INBOX"
	}
	e := t.emlx[name]
	if e == nil {
		e = &emlx{name: name, options: t.options}
		t.emlx[name] = e
	}
	if !slices.Contains(e.dirs, dir) {
		e.dirs = append(e.dirs, dir)
	}
}

// level returns what a file's name is in a mailbox's name.
func (t *tree) level(file string) string {
	if t.utf7 {
		if name, err := decodeUTF7(file); err == nil {
			return name
		}
	}
	return file
}

// mboxName returns the name of the mailbox that a file or folder is.
func mboxName(parent, file string) string {
	for _, end := range []string{".sbd", ".mbox"} {
		if s := strings.TrimSuffix(file, end); s != "" {
			file = s
		}
	}
	return path.Join(parent, levelName(file))
}

// usualUse returns the special use (RFC 6154) of the folders that mail programs make.
func usualUse(name string) string {
	switch path.Base(name) {
	case "Sent", "Sent Messages":
		return `\Sent`
	case "Drafts":
		return `\Drafts`
	case "Trash", "Deleted Messages":
		return `\Trash`
	case "Junk":
		return `\Junk`
	case "Archives", "Archive":
		return `\Archive`
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

// looksLikeTree reports whether a file or folder is one that only [Mbox] reads.
func looksLikeTree(e fs.DirEntry) bool {
	name := e.Name()
	if e.IsDir() {
		return strings.HasSuffix(name, ".mbox") || strings.HasSuffix(name, ".sbd")
	}
	return name == "prefs.js" || strings.HasSuffix(name, ".msf") || strings.HasSuffix(name, ".emlx") || strings.HasSuffix(name, ".mbox")
}

// Find returns the format of a file or folder.
func Find(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	switch {
	case !info.IsDir() && isPacked(path):
		return "", fmt.Errorf("%s is packed: unpack it, and import the folder", path)
	case isTakeout(path):
		return FormatTakeout, nil
	case !info.IsDir():
		return FormatMbox, nil
	case isMaildir(path):
		return FormatMaildir, nil
	case strings.HasSuffix(path, ".mbox"):
		return FormatMbox, nil
	}
	found := FormatMbox
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil: // it comes again
		case d.Name() == indexName:
			found = FormatEml
			return fs.SkipAll
		case name != path && looksLikeTree(d):
			found = FormatMbox
			return fs.SkipAll
		case isEml(d.Name()):
			found = FormatEml
		}
		return nil
	})
	return found, err
}

// isPacked reports whether a file is an archive of files.
func isPacked(path string) bool {
	head, _, err := fileHead(path)
	return err == nil && (strings.HasPrefix(string(head), "PK\x03\x04") || strings.HasPrefix(string(head), "\x1f\x8b"))
}
