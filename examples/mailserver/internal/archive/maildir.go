package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Maildir returns the folders of a Maildir++: the folder itself is INBOX, and each
// folder in it whose name begins with "." is one more, with "." between the levels
// and names in modified UTF-7. UIDs and keywords are those that Dovecot noted;
// without them messages come in the order of their files' names, which begin with
// the time of delivery. The date of a message is that of its file. What cannot be
// read is named in the errors that the function returns beside the folders.
func Maildir(dir string, o Options) ([]Folder, []error) {
	subs, err := subscriptions(dir)
	var errs []error
	if err != nil {
		errs = append(errs, err)
	}
	var folders []Folder
	add := func(path, name string) {
		f, err := maildirFolder(&maildir{dir: path, options: o}, name)
		if err != nil {
			errs = append(errs, err)
		}
		f.Subscribed = subs == nil || subs[name]
		folders = append(folders, f)
	}
	if !isMaildir(dir) {
		return nil, []error{fmt.Errorf("%w: %s is no Maildir: it has no folder cur or new", ErrNoMail, dir)}
	}
	add(dir, "INBOX")
	entries, err := os.ReadDir(dir)
	if err != nil {
		errs = append(errs, err)
	}
	for _, e := range entries {
		dotted, ok := strings.CutPrefix(e.Name(), ".")
		path := filepath.Join(dir, e.Name())
		if !ok || dotted == "" || !isMaildir(path) {
			continue
		}
		name, err := maildirName(dotted)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: its name is %w, and taken as it is", path, err))
		}
		add(path, name)
	}
	slices.SortFunc(folders, func(a, b Folder) int { return strings.Compare(a.Name, b.Name) })
	return folders, errs
}

func isMaildir(dir string) bool {
	return isDir(filepath.Join(dir, "cur")) || isDir(filepath.Join(dir, "new"))
}

// maildirName returns the mailbox's name of a folder's.
func maildirName(dotted string) (string, error) {
	levels := strings.Split(dotted, ".")
	var failed error
	for i, l := range levels {
		name, err := decodeUTF7(l)
		if err != nil {
			failed = err
			continue
		}
		levels[i] = name
	}
	return strings.Join(levels, "/"), failed
}

// subscriptions reads which folders are subscribed to.
func subscriptions(dir string) (map[string]bool, error) {
	f, err := os.Open(filepath.Join(dir, "subscriptions"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	subs := map[string]bool{}
	s := bufio.NewScanner(f)
	separator := "."
	for line := 0; s.Scan(); line++ {
		text := s.Text()
		if line == 0 && strings.HasPrefix(text, "V\t") {
			separator = "\t" // version 2 has levels in columns
			continue
		}
		levels := strings.Split(text, separator)
		for i, l := range levels {
			if name, err := decodeUTF7(l); err == nil {
				levels[i] = name
			}
		}
		subs[strings.Join(levels, "/")] = true
	}
	return subs, s.Err()
}

// maildirFolder returns a folder, also if something beside its messages cannot be
// read.
func maildirFolder(m *maildir, name string) (Folder, error) {
	dir := m.dir
	f := Folder{Name: name, Messages: m.messages}
	list, err := openUIDList(dir)
	if err == nil && list != nil {
		f.UIDValidity, f.UIDNext, m.listed = list.validity, list.next, true
		list.Close()
	}
	var failed error
	if m.words, failed = readKeywords(dir); failed != nil {
		err = errors.Join(err, failed)
	}
	failed = m.each(func(_, _ string) { f.Weight++ })
	return f, errors.Join(err, failed)
}

type maildir struct {
	dir     string
	options Options
	listed  bool // there is a list of UIDs
	mozilla bool // flags are in the headers, as Thunderbird keeps them
	words   map[byte]string
}

// each calls do for the files of cur and new.
func (m *maildir) each(do func(sub, name string)) error {
	for _, sub := range []string{"cur", "new"} {
		err := names(filepath.Join(m.dir, sub), func(name string) {
			if !strings.HasPrefix(name, ".") {
				do(sub, name)
			}
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (m *maildir) messages(yield func(Message, error) bool) {
	if m.listed {
		goOn, err := m.listedMessages(yield)
		if err != nil {
			goOn = yield(Message{Name: m.dir}, fmt.Errorf("%s: %w", uidListName, err))
		}
		if !goOn {
			return
		}
	}
	if err := m.otherMessages(yield); err != nil {
		yield(Message{Name: m.dir}, fmt.Errorf("%w: %w", ErrFolder, err))
	}
}

// listedMessages yields the messages that the list has, window by window.
func (m *maildir) listedMessages(yield func(Message, error) bool) (goOn bool, err error) {
	list, err := openUIDList(m.dir)
	if err != nil || list == nil {
		return true, err
	}
	defer list.Close()
	for {
		var window []listed
		var failed error
		for len(window) < windowNames && failed == nil {
			var e listed
			if e, failed = list.entry(); failed == nil {
				window = append(window, e)
			}
		}
		if goOn, err := m.window(window, yield); !goOn || err != nil {
			return goOn, err
		}
		if failed == io.EOF {
			return true, nil
		}
		if failed != nil {
			return true, failed
		}
	}
}

// window yields some messages of the list.
func (m *maildir) window(window []listed, yield func(Message, error) bool) (goOn bool, err error) {
	place := make(map[string]int, len(window))
	files := make([]string, len(window))
	for i, e := range window {
		place[e.base] = i
	}
	err = m.each(func(sub, name string) {
		base, _ := splitInfo(name)
		if i, ok := place[base]; ok {
			files[i] = sub + "/" + name
		}
	})
	if err != nil {
		return true, err
	}
	for i, f := range files {
		if f == "" {
			continue // deleted since
		}
		sub, name, _ := strings.Cut(f, "/")
		if msg, err := m.message(sub, name, window[i].uid); !yield(msg, err) {
			return false, nil
		}
	}
	return true, nil
}

// otherMessages yields the messages that the list has not.
func (m *maildir) otherMessages(yield func(Message, error) bool) error {
	var have nameSums
	if m.listed {
		var err error
		if have, err = listedNames(m.dir); err == io.EOF || errors.Is(err, errUIDList) {
			err = nil // a damaged list was reported before
		}
		if err != nil {
			return err
		}
	}
	after := ""
	for {
		next := &smallest{n: windowNames, after: after}
		err := m.each(func(sub, name string) {
			if base, _ := splitInfo(name); !have.has(base) {
				next.offer(name + "/" + sub)
			}
		})
		if err != nil {
			return err
		}
		found := next.sorted()
		if len(found) == 0 {
			return nil
		}
		for _, f := range found {
			name, sub, _ := strings.Cut(f, "/")
			if msg, err := m.message(sub, name, 0); !yield(msg, err) {
				return nil
			}
		}
		after = found[len(found)-1]
	}
}

// message finds what is known of a message.
func (m *maildir) message(sub, name string, uid uint32) (Message, error) {
	path := filepath.Join(m.dir, sub, name)
	msg := Message{Name: path, UID: uid, Weight: 1}
	base, letters := splitInfo(name)
	for i := range len(letters) {
		if f, ok := maildirFlags[letters[i]]; ok {
			msg.Flags = append(msg.Flags, f)
		} else if f, ok := m.words[letters[i]]; ok {
			msg.Flags = append(msg.Flags, f)
		}
	}
	f, err := look(path)
	if err != nil {
		return msg, err
	}
	if m.mozilla {
		msg.Flags = append(msg.Flags, mozillaFlags(f.head)...)
	}
	msg.Key, msg.Date, msg.Open = f.key(base), f.date, m.options.open(path)
	return msg, nil
}
