package archive

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// emlx is a mailbox of Apple Mail: files in some folders. Each has the length of the
// message in its first line, then the message, then a property list with flags and
// the date.
type emlx struct {
	name    string
	dirs    []string
	options Options
}

// plistSize is how much of a property list is read.
const plistSize = 64 << 10

// emlxFlags are bits of the property list's flags.
var emlxFlags = []struct {
	bit  uint
	flag string
}{{0, `\Seen`}, {1, `\Deleted`}, {2, `\Answered`}, {4, `\Flagged`}, {6, `\Draft`}, {8, "$Forwarded"}}

func (e *emlx) folder() Folder {
	f := Folder{Name: e.name, Subscribed: true, SpecialUse: usualUse(e.name), Messages: e.messages}
	slices.Sort(e.dirs)
	for _, dir := range e.dirs {
		_ = names(dir, func(name string) { // an error comes again
			if isEmlx(name) {
				f.Weight++
			}
		})
	}
	return f
}

func isEmlx(name string) bool { return strings.HasSuffix(name, ".emlx") && name[0] != '.' }

func (e *emlx) messages(yield func(Message, error) bool) {
	for _, dir := range e.dirs {
		var found []string
		err := names(dir, func(name string) {
			if isEmlx(name) {
				found = append(found, name)
			}
		})
		if err != nil && !yield(Message{Name: dir}, err) {
			return
		}
		slices.SortFunc(found, func(a, b string) int {
			return cmp.Or(cmp.Compare(emlxNumber(a), emlxNumber(b)), strings.Compare(a, b))
		})
		for _, name := range found {
			if !yield(e.message(filepath.Join(dir, name))) {
				return
			}
		}
	}
}

// emlxNumber returns the number that a file's name begins with: their order.
func emlxNumber(name string) int {
	digits, _, _ := strings.Cut(name, ".")
	n, _ := strconv.Atoi(digits)
	return n
}

// message finds what is known of a message.
func (e *emlx) message(path string) (Message, error) {
	msg := Message{Name: path, Weight: 1}
	if strings.HasSuffix(path, ".partial.emlx") {
		return msg, fmt.Errorf("%w: Apple Mail keeps the attachments elsewhere, or did not download them", ErrIncomplete)
	}
	file, err := look(path)
	if err != nil {
		return msg, err
	}
	f, err := os.Open(path)
	if err != nil {
		return msg, err
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 64)).ReadString('\n')
	size, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	start := int64(len(line))
	if err != nil || size < 0 || start+size > file.size {
		return msg, fmt.Errorf("%w: its first line is not the length of the message", ErrNoMail)
	}
	plist := make([]byte, min(plistSize, file.size-start-size))
	if _, err := f.ReadAt(plist, start+size); err != nil && err != io.EOF {
		return msg, err
	}
	msg.Key = file.key(filepath.Base(path))
	if n, ok := plistNumber(plist, "flags"); ok {
		for _, x := range emlxFlags {
			if n>>x.bit&1 != 0 {
				msg.Flags = append(msg.Flags, x.flag)
			}
		}
	}
	if n, ok := plistNumber(plist, "date-received"); ok {
		msg.Date = time.Unix(n, 0).UTC()
	} else {
		msg.Date = file.date
	}
	msg.Open = func() (io.ReadCloser, error) {
		r, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		return e.options.lines(io.NewSectionReader(r, start, size), r), nil
	}
	return msg, nil
}

// plistNumber returns the number of a key of a property list in XML.
func plistNumber(plist []byte, key string) (int64, bool) {
	_, after, ok := bytes.Cut(plist, []byte("<key>"+key+"</key>"))
	if !ok {
		return 0, false
	}
	kind, after, ok := bytes.Cut(bytes.TrimSpace(after), []byte(">"))
	if !ok || string(kind) != "<integer" && string(kind) != "<real" {
		return 0, false
	}
	digits, _, _ := bytes.Cut(after, []byte("<"))
	whole, _, _ := strings.Cut(string(digits), ".")
	n, err := strconv.ParseInt(strings.TrimSpace(whole), 10, 64)
	return n, err == nil
}
