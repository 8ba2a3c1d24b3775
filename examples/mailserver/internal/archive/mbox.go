package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/mail"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mbox returns the folders of an mbox file, or of a tree of them: a file's folder
// has the name of the file, without ".mbox", below the folders that it is in
// (without Thunderbird's ".sbd"). Files of another kind in a tree are left out, and
// named in the errors that the function returns beside the folders.
func Mbox(file string, o Options) ([]Folder, []error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, []error{err}
	}
	if !info.IsDir() {
		f, err := mboxFolder(file, mboxName(filepath.Base(file)), o)
		if err != nil {
			return nil, []error{err}
		}
		return []Folder{f}, nil
	}
	var folders []Folder
	var errs []error
	err = filepath.WalkDir(file, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		if d.IsDir() || strings.HasPrefix(d.Name(), ".") || strings.HasSuffix(d.Name(), ".msf") {
			return nil // of Thunderbird, for example
		}
		rel, err := filepath.Rel(file, name)
		if err == nil {
			var f Folder
			if f, err = mboxFolder(name, mboxName(filepath.ToSlash(rel)), o); err == nil {
				folders = append(folders, f)
			}
		}
		if err != nil {
			errs = append(errs, err)
		}
		return nil
	})
	if err != nil {
		errs = append(errs, err)
	}
	slices.SortFunc(folders, func(a, b Folder) int { return strings.Compare(a.Name, b.Name) })
	return folders, errs
}

// mboxName returns the name of a file's folder.
func mboxName(rel string) string {
	levels := strings.Split(rel, "/")
	for i, l := range levels {
		l = strings.TrimSuffix(l, ".sbd")
		if i == len(levels)-1 {
			l = strings.TrimSuffix(l, ".mbox")
		}
		levels[i] = levelName(l)
	}
	return path.Join(levels...)
}

func mboxFolder(file, name string, o Options) (Folder, error) {
	f, err := os.Open(file)
	if err != nil {
		return Folder{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Folder{}, err
	}
	if !info.Mode().IsRegular() {
		return Folder{}, fmt.Errorf("%s is not a regular file", file)
	}
	m := &mbox{file: file, options: o}
	out := Folder{Name: name, Weight: info.Size(), Subscribed: true}
	head := make([]byte, 4<<10)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return Folder{}, err
	}
	head = head[:n]
	if n > 0 && !bytes.Contains(head, []byte("From ")) {
		return Folder{}, fmt.Errorf("%s is no mbox: it has no line that begins with From", file)
	}
	if _, text, ok := bytes.Cut(head, []byte("\n")); ok {
		out.UIDValidity, out.UIDNext = imapBase(text)
	}
	m.uids = out.UIDValidity != 0
	out.Messages = m.messages
	return out, nil
}

// imapBase reads what IMAP servers note in the first message of an mbox: its
// UIDVALIDITY and the last UID.
func imapBase(header []byte) (validity, next uint32) {
	for line := range bytes.Lines(header) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		if !strings.EqualFold(name, "X-IMAPbase") && !strings.EqualFold(name, "X-IMAP") {
			continue
		}
		f := strings.Fields(value)
		if len(f) < 2 {
			break
		}
		v, err1 := strconv.ParseUint(f[0], 10, 32)
		last, err2 := strconv.ParseUint(f[1], 10, 32)
		if err1 != nil || err2 != nil || last == 1<<32-1 {
			break
		}
		return uint32(v), uint32(last) + 1
	}
	return 0, 0
}

type mbox struct {
	file    string
	options Options
	uids    bool // messages have X-UID fields that count
}

// span is a message between its From line and the next.
type span struct {
	from       string // its line
	start, end int64  // of the message
	begin      int64  // of the line
	next       int64  // what comes after it
}

func (m *mbox) messages(yield func(Message, error) bool) {
	f, err := os.Open(m.file)
	if err != nil {
		yield(Message{Name: m.file}, fmt.Errorf("%w: %w", ErrFolder, err))
		return
	}
	defer f.Close()
	last := uint32(0)
	first := true
	s := &spans{file: m.file, r: bufio.NewReaderSize(f, 256<<10)}
	s.run(func(sp span, err error) bool {
		if err != nil {
			return yield(Message{Name: fmt.Sprintf("%s, byte %d", m.file, sp.begin), Weight: sp.next - sp.begin}, err)
		}
		msg, err := m.message(f, sp, first)
		first = false
		if !m.uids || msg.UID <= last {
			msg.UID = 0
		}
		last = max(last, msg.UID)
		return yield(msg, err)
	})
}

// message finds what is known of a message.
func (m *mbox) message(f io.ReaderAt, sp span, first bool) (Message, error) {
	msg := Message{Name: fmt.Sprintf("%s, byte %d", m.file, sp.begin), Weight: sp.next - sp.begin, Date: fromDate(sp.from)}
	head := make([]byte, min(sp.end-sp.start, headSize))
	if _, err := f.ReadAt(head, sp.start); err != nil && err != io.EOF {
		return msg, err
	}
	sum := sha256.Sum256(head)
	msg.Key = fmt.Sprintf("%d\x00%x", sp.begin, sum)
	own := ownFields(head, first)
	fields := readStatus(head)
	if own > 0 {
		fields = readStatus(head[:own]) // the message may have others
	}
	msg.Flags, msg.UID = fields.flags, fields.uid
	crlf := endsInCRLF(head[own:])
	if msg.Date.IsZero() {
		msg.Date = fields.date
	}
	start := sp.start + int64(own)
	msg.Open = func() (io.ReadCloser, error) {
		r, err := os.Open(m.file)
		if err != nil {
			return nil, err
		}
		l := &lineReader{
			src:  bufio.NewReaderSize(io.NewSectionReader(r, start, sp.end-start), lineBuffer),
			crlf: !crlf && !m.options.KeepLineEnds, unquote: unquoteFrom,
		}
		if m.options.Mboxo {
			l.unquote = unquoteFromOnce
		}
		return &readCloser{l, r}, nil
	}
	return msg, nil
}

// spans finds where the messages of an mbox are. A message begins after a line
// that begins with "From " and has a date, after an empty line or where no message
// has begun yet.
type spans struct {
	file string
	r    *bufio.Reader
	at   int64 // of the next line
}

func (s *spans) run(yield func(span, error) bool) {
	cur := span{begin: 0}
	open := false        // cur is a message
	empty := true        // the line before was, or there was none
	content := int64(0)  // where the last line that is not empty ended
	emptyLen := int64(0) // length of that empty line
	finish := func(next int64) bool {
		cur.next = next
		switch {
		case open:
			cur.end = next
			if empty && emptyLen > 0 && next-emptyLen >= cur.start {
				cur.end = next - emptyLen // it belongs to the From line
			}
			return yield(cur, nil)
		case content > 0:
			return yield(cur, fmt.Errorf("%d bytes before the first From line are no message", next))
		}
		return true
	}
	for {
		line, whole, err := s.line()
		if err != nil && err != io.EOF {
			cur.next = s.at
			yield(cur, fmt.Errorf("%w: %w", ErrFolder, err))
			return
		}
		start := s.at - whole
		if bytes.HasPrefix(line, []byte("From ")) {
			text := strings.TrimRight(string(line), "\r\n")
			dated := !fromDate(text).IsZero()
			if dated && (empty || !open) {
				if !finish(start) {
					return
				}
				cur, open = span{from: text, begin: start, start: s.at}, true
				content, empty, emptyLen = 0, false, 0
				if err == io.EOF {
					finish(s.at)
					return
				}
				continue
			}
			// It is kept as text of the message before, and told of where it may
			// have been meant otherwise.
			var why error
			switch {
			case dated:
				why = errors.New("a line begins with From and a date, and no empty line is before it: it is taken for text")
			case empty:
				why = errors.New("a line begins with From and has no date: it is taken for text")
			}
			if why != nil && !yield(span{begin: start, next: start}, why) {
				return
			}
		}
		if whole > 0 {
			empty = whole == int64(len(line)) && len(bytes.TrimRight(line, "\r\n")) == 0
			emptyLen = 0
			if empty {
				emptyLen = whole
			} else {
				content = s.at
			}
		}
		if err == io.EOF {
			finish(s.at)
			return
		}
	}
}

// line returns the beginning of the next line and its whole length.
func (s *spans) line() (head []byte, whole int64, err error) {
	b, err := s.r.ReadSlice('\n')
	head, whole = b, int64(len(b))
	if errors.Is(err, bufio.ErrBufferFull) {
		head = bytes.Clone(b[:64])
		for errors.Is(err, bufio.ErrBufferFull) {
			b, err = s.r.ReadSlice('\n')
			whole += int64(len(b))
		}
	}
	s.at += whole
	return head, whole, err
}

// fromLayouts are the dates of From lines, which begin with C's asctime.
var fromLayouts = []string{
	"Mon Jan _2 15:04:05 2006", "Mon Jan _2 15:04:05 2006 -0700", "Mon Jan _2 15:04:05 -0700 2006",
	"Mon Jan _2 15:04:05 MST 2006", "Mon Jan _2 15:04 2006", "Mon Jan _2 15:04:05 2006 MST",
	time.RFC1123Z, time.RFC1123, time.RFC3339,
}

// fromDate returns the date of a From line, or the zero time.
func fromDate(line string) time.Time {
	fields := strings.Fields(strings.TrimPrefix(line, "From "))
	// The sender may have spaces, or be missing.
	for i := 0; i < min(len(fields), 6); i++ {
		text := strings.Join(fields[i:], " ")
		for _, layout := range fromLayouts {
			if t, err := time.Parse(strings.ReplaceAll(layout, "_2", "2"), text); err == nil && t.Year() > 0 {
				return t.UTC()
			}
		}
	}
	return time.Time{}
}

// status is what programs note in a message's header.
type status struct {
	flags []string
	uid   uint32
	date  time.Time // of its Date field
}

func readStatus(head []byte) status {
	var s status
	seen := map[string]bool{}
	add := func(flag string) {
		if flag != "" && !seen[flag] {
			seen[flag] = true
			s.flags = append(s.flags, flag)
		}
	}
	letters := func(value, all string, flags ...string) {
		for i, c := range all {
			if strings.ContainsRune(value, c) {
				add(flags[i])
			}
		}
	}
	for line := range bytes.Lines(head) {
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			break
		}
		name, value, _ := strings.Cut(text, ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "status":
			letters(value, "R", `\Seen`)
		case "x-status":
			letters(value, "AFDT", `\Answered`, `\Flagged`, `\Deleted`, `\Draft`)
		case "x-keywords":
			for _, k := range strings.Fields(value) {
				add(k)
			}
		case "x-uid":
			if u, err := strconv.ParseUint(value, 10, 32); err == nil {
				s.uid = uint32(u)
			}
		case "x-mozilla-status":
			if bits, err := strconv.ParseUint(value, 16, 16); err == nil {
				for bit, flag := range map[uint64]string{1: `\Seen`, 2: `\Answered`, 4: `\Flagged`, 8: `\Deleted`, 0x1000: "$Forwarded"} {
					if bits&bit != 0 {
						add(flag)
					}
				}
			}
		case "date":
			if t, err := mail.ParseDate(value); err == nil {
				s.date = t
			}
		}
	}
	slices.Sort(s.flags)
	return s
}

// ownFieldNames are what a Writer puts in front of a message, in this order; the
// first only in front of the first message.
var ownFieldNames = []string{"X-IMAPbase", "X-UID", "Status", "X-Status", "X-Keywords"}

// ownFields returns the length of what a Writer put in front of a message, or 0.
func ownFields(head []byte, first bool) int {
	want := ownFieldNames
	if !first {
		want = want[1:]
	}
	n := 0
	for _, name := range want {
		i := bytes.IndexByte(head[n:], '\n')
		if i < 0 || !bytes.HasPrefix(head[n:], []byte(name+":")) {
			return 0
		}
		n += i + 1
	}
	return n
}
