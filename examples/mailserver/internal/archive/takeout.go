package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Takeout returns the folders of a mail archive of Google Takeout: an mbox, or a
// folder with some. Google writes two fields in front of each message, X-GM-THRID and
// X-Gmail-Labels. They are not of the message and are left out of its bytes; the
// labels say which folders it is in, and its flags (see [gmailPlaces]).
//
// A message with several labels comes in several folders. One that is in more than
// one file, as when labels were exported one by one, comes once; twice says how many
// were passed over for that. All files are read once to find the labels, until ctx
// ends.
func Takeout(ctx context.Context, path string, o Options) (folders []Folder, twice int, errs []error) {
	files, err := takeoutFiles(path)
	if err != nil {
		return nil, 0, []error{err}
	}
	t := &takeout{options: o, boxes: map[string]*labelled{}, seen: map[messageSum]bool{}}
	for _, file := range files {
		t.file(ctx, file)
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, []error{err}
	}
	for name, b := range t.boxes {
		folders = append(folders, Folder{
			Name: name, Subscribed: true, SpecialUse: b.use, Weight: b.weight, Messages: t.messages(b),
		})
	}
	slices.SortFunc(folders, func(a, b Folder) int {
		return strings.Compare(a.Name, b.Name)
	})
	return folders, t.twice, t.errs
}

// takeoutFiles returns the mbox files of an archive.
func takeoutFiles(path string) (files []string, err error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(name, ".mbox") {
			files = append(files, name)
		}
		return err
	})
	return files, err
}

// isTakeout reports whether the first message of a file, or of the first mbox in a
// folder, has Google's fields.
func isTakeout(path string) bool {
	files, err := takeoutFiles(path)
	if err != nil || len(files) == 0 {
		return false
	}
	head, _, err := fileHead(files[0])
	if err != nil {
		return false
	}
	_, text, _ := bytes.Cut(head, []byte("\n"))
	n, _ := googleFields(text)
	return n > 0
}

// googleFields returns the length of the fields that Google put in front of a
// message, and the value of X-Gmail-Labels.
func googleFields(head []byte) (n int, labels string) {
	ours := false
	for line := range bytes.Lines(head) {
		goesOn := line[0] == ' ' || line[0] == '\t'
		name, _ := fieldName(line)
		if !goesOn {
			ours = strings.EqualFold(name, "X-GM-THRID") || strings.EqualFold(name, "X-Gmail-Labels")
		}
		if !ours {
			break
		}
		n += len(line)
	}
	for name, value := range headerFields(head[:n]) {
		if strings.EqualFold(name, "X-Gmail-Labels") {
			labels = value
		}
	}
	return n, labels
}

// messageSum tells a message from others, wherever it is: a hash of its length, its
// beginning and its end.
type messageSum [12]byte

// takeout finds which messages have which label.
type takeout struct {
	options Options
	boxes   map[string]*labelled // by name
	seen    map[messageSum]bool
	twice   int
	errs    []error
}

// labelled is the messages of a folder.
type labelled struct {
	use    string
	weight int64
	places []takeoutPlace
}

// takeoutPlace is where a message is.
type takeoutPlace struct {
	file              *mbox
	begin, start, end int64 // of the From line, and of the message
	date              int64 // of the From line, seconds since 1970; 0 if it has none
	sum               messageSum
}

func (p *takeoutPlace) weight() int64 { return p.end - p.begin }

// maxErrors bounds how many errors are kept about a source.
const maxErrors = 1000

func (t *takeout) file(ctx context.Context, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.errs = append(t.errs, err)
		return
	}
	defer f.Close()
	m := &mbox{file: file, options: t.options}
	s := newSpans(f)
	if head, _ := s.r.Peek(256); isGoogleFrom(string(head)) {
		s.counts = isGoogleFrom // other lines of that kind are text
	}
	s.run(func(sp span, err error) bool {
		if err == nil {
			err = t.add(m, f, sp)
		}
		if err != nil && len(t.errs) < maxErrors {
			t.errs = append(t.errs, fmt.Errorf("%s: %w", m.name(sp.begin), err))
		}
		return ctx.Err() == nil
	})
}

// isGoogleFrom reports whether a From line is one of Google's: From 1461@xxx DATE.
func isGoogleFrom(line string) bool {
	digits, ok := strings.CutPrefix(line, "From ")
	after := strings.TrimLeft(digits, "0123456789")
	return ok && len(after) < len(digits) && strings.HasPrefix(after, "@xxx ")
}

// add notes where a message belongs.
func (t *takeout) add(m *mbox, f io.ReaderAt, sp span) error {
	head, err := sp.head(f)
	if err != nil {
		return err
	}
	n, labels := googleFields(head)
	places, _ := gmailPlaces(labels)
	sum, err := sumMessage(f, head[n:], sp.start+int64(n), sp.end)
	if err != nil {
		return err
	}
	if t.seen[sum] {
		t.twice++
		return nil
	}
	t.seen[sum] = true
	at := takeoutPlace{file: m, begin: sp.begin, start: sp.start, end: sp.end, sum: sum}
	if date := fromDate(sp.from); !date.IsZero() {
		at.date = date.Unix()
	}
	for _, p := range places {
		b := t.boxes[p.name]
		if b == nil {
			b = &labelled{use: p.use}
			t.boxes[p.name] = b
		}
		b.weight += at.weight()
		b.places = append(b.places, at)
	}
	return nil
}

// sumMessage hashes a message whose beginning is known.
func sumMessage(f io.ReaderAt, head []byte, start, end int64) (sum messageSum, err error) {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(end-start)))
	h.Write(head)
	tail := make([]byte, min(end-start, headSize))
	n, err := f.ReadAt(tail, end-int64(len(tail)))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	h.Write(tail[:n])
	copy(sum[:], h.Sum(nil))
	return sum, err
}

// messages yields the messages of a folder.
func (t *takeout) messages(b *labelled) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		var f *os.File
		var of *mbox
		defer func() {
			if f != nil {
				f.Close()
			}
		}()
		for _, p := range b.places {
			if p.file != of {
				if f != nil {
					f.Close()
				}
				var err error
				if f, err = os.Open(p.file.file); err != nil {
					yield(Message{Name: p.file.file}, fmt.Errorf("%w: %w", ErrFolder, err))
					return
				}
				of = p.file
			}
			if !yield(p.message(f)) {
				return
			}
		}
	}
}

// message finds what is known of a message.
func (p *takeoutPlace) message(f io.ReaderAt) (Message, error) {
	msg := Message{Name: p.file.name(p.begin), Weight: p.weight(), Key: fmt.Sprintf("%x", p.sum)}
	head, err := span{start: p.start, end: p.end}.head(f)
	if err != nil {
		return msg, err
	}
	n, labels := googleFields(head)
	_, msg.Flags = gmailPlaces(labels)
	if msg.Date = readStatus(head[n:]).date; p.date != 0 {
		msg.Date = time.Unix(p.date, 0).UTC()
	}
	msg.Open = p.file.open(p.start+int64(n), p.end)
	return msg, nil
}
