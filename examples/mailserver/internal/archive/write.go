package archive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Formats. A [Writer] knows the first three.
const (
	FormatMaildir = "maildir"
	FormatMbox    = "mbox" // mboxrd
	FormatEml     = "eml"
	FormatMboxo   = "mboxo"
	FormatTakeout = "takeout"
)

// Writer writes an archive.
type Writer struct {
	dir    string
	format string
	subs   []string
}

// NewWriter returns a Writer of a format into a folder, which must be empty or not
// there: nothing is ever written over.
func NewWriter(format, dir string) (*Writer, error) {
	if !slices.Contains([]string{FormatMaildir, FormatMbox, FormatEml}, format) {
		return nil, fmt.Errorf("unknown format %q", format)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty", dir)
	}
	return &Writer{dir: dir, format: format}, nil
}

// Folder begins a mailbox. The messages that are added must be in the order of
// their UIDs. Close the FolderWriter before the next.
func (w *Writer) Folder(f Folder) (FolderWriter, error) {
	if f.Subscribed {
		w.subs = append(w.subs, f.Name)
	}
	switch w.format {
	case FormatMaildir:
		return newMaildirWriter(w.dir, f)
	case FormatMbox:
		return newMboxWriter(w.dir, f)
	}
	return newEmlWriter(w.dir, f)
}

// Close ends the archive.
func (w *Writer) Close() error {
	if w.format != FormatMaildir {
		return nil
	}
	var out bytes.Buffer
	out.WriteString("V\t2\n\n")
	for _, name := range w.subs {
		levels := strings.Split(name, "/")
		for i, l := range levels {
			levels[i] = encodeUTF7(l, "")
		}
		fmt.Fprintln(&out, strings.Join(levels, "\t"))
	}
	return createFile(filepath.Join(w.dir, "subscriptions"), &out)
}

// FolderWriter writes one mailbox.
type FolderWriter interface {
	// Add writes a message: its UID, Flags and Date are those of m, its bytes those
	// of r. If r fails nothing of the message is left. lost says which of its flags
	// the format has no room for.
	Add(m Message, r io.Reader) (lost []string, err error)
	Close() error
}

// createFile writes a new file.
func createFile(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// maildirWriter writes a folder of a Maildir++, as Dovecot would leave it.
type maildirWriter struct {
	dir      string
	validity uint32
	list     *os.File
	lines    *bufio.Writer
	words    []string
}

func newMaildirWriter(root string, f Folder) (*maildirWriter, error) {
	w := &maildirWriter{dir: root, validity: f.UIDValidity}
	if f.Name != "INBOX" {
		levels := strings.Split(f.Name, "/")
		for i, l := range levels {
			levels[i] = encodeUTF7(l, ".")
		}
		w.dir = filepath.Join(root, "."+strings.Join(levels, "."))
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(w.dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	if w.dir != root {
		if err := createFile(filepath.Join(w.dir, "maildirfolder"), strings.NewReader("")); err != nil {
			return nil, err
		}
	}
	list, err := os.OpenFile(filepath.Join(w.dir, uidListName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	w.list, w.lines = list, bufio.NewWriter(list)
	_, err = fmt.Fprintf(w.lines, "3 V%d N%d\n", f.UIDValidity, f.UIDNext)
	return w, err
}

func (w *maildirWriter) Add(m Message, r io.Reader) (lost []string, err error) {
	letters, lost := w.letters(m.Flags)
	temp := filepath.Join(w.dir, "tmp", fmt.Sprint(m.UID))
	count := &counter{r: r}
	if err := createFile(temp, count); err != nil {
		return nil, err
	}
	// Unlike any other name: mailboxes' UIDs under a UIDVALIDITY are not used twice.
	base := fmt.Sprintf("%d.V%dU%d.letterlock,S=%d", max(m.Date.Unix(), 0), w.validity, m.UID, count.n)
	path := filepath.Join(w.dir, "cur", base+":2,"+letters)
	if err := errors.Join(os.Rename(temp, path), setDate(path, m.Date)); err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(w.lines, "%d :%s\n", m.UID, base)
	return lost, err
}

// letters returns the flags as letters, in order.
func (w *maildirWriter) letters(flags []string) (letters string, lost []string) {
	var out []byte
	for _, f := range flags {
		if c, ok := letterOf(f); ok {
			out = append(out, c)
			continue
		}
		i := slices.Index(w.words, f)
		if i < 0 && len(w.words) == 26 {
			lost = append(lost, f)
			continue
		}
		if i < 0 {
			i = len(w.words)
			w.words = append(w.words, f)
		}
		out = append(out, 'a'+byte(i))
	}
	slices.Sort(out)
	return string(out), lost
}

func (w *maildirWriter) Close() error {
	err := errors.Join(w.lines.Flush(), w.list.Close())
	if len(w.words) == 0 {
		return err
	}
	var out bytes.Buffer
	for i, word := range w.words {
		fmt.Fprintf(&out, "%d %s\n", i, word)
	}
	return errors.Join(err, createFile(filepath.Join(w.dir, "dovecot-keywords"), &out))
}

func setDate(path string, t time.Time) error { return os.Chtimes(path, t, t) }

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// treePath returns where a mailbox is in a tree of files.
func treePath(root, name string) string {
	levels := strings.Split(name, "/")
	for i, l := range levels {
		levels[i] = fileName(l)
	}
	return filepath.Join(root, filepath.Join(levels...))
}

// mboxWriter writes a file of the mboxrd form.
type mboxWriter struct {
	folder Folder
	f      *os.File
	w      *bufio.Writer
	at     int64
	added  bool
}

func newMboxWriter(root string, f Folder) (*mboxWriter, error) {
	path := treePath(root, f.Name) + ".mbox"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &mboxWriter{folder: f, f: file, w: bufio.NewWriterSize(file, 64<<10)}, nil
}

func (w *mboxWriter) Add(m Message, r io.Reader) (lost []string, err error) {
	if err := w.write(m, r); err != nil {
		// The file ends where the message before did.
		w.w.Reset(w.f)
		_, seek := w.f.Seek(w.at, io.SeekStart)
		return nil, errors.Join(err, w.f.Truncate(w.at), seek)
	}
	w.added = true
	w.at, err = w.f.Seek(0, io.SeekCurrent)
	return nil, err
}

func (w *mboxWriter) write(m Message, r io.Reader) error {
	src := bufio.NewReaderSize(r, lineBuffer)
	head, _ := src.Peek(1024)
	end := "\n"
	if i := bytes.IndexByte(head, '\n'); i > 0 && head[i-1] == '\r' {
		end = "\r\n"
	}
	fmt.Fprintf(w.w, "From MAILER-DAEMON %s\n", m.Date.UTC().Format("Mon Jan _2 15:04:05 2006"))
	if !w.added {
		fmt.Fprintf(w.w, "X-IMAPbase: %d %d%s", w.folder.UIDValidity, max(w.folder.UIDNext, 1)-1, end)
	}
	status, more, words := statusOf(m.Flags)
	fmt.Fprintf(w.w, "X-UID: %d%sStatus: %s%sX-Status: %s%sX-Keywords: %s%s", m.UID, end, status, end, more, end, words, end)
	last := byte('\n')
	for begins := true; ; {
		line, err := src.ReadSlice('\n')
		if begins && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			w.w.WriteByte('>')
		}
		w.w.Write(line)
		if len(line) > 0 {
			last = line[len(line)-1]
		}
		begins = last == '\n'
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	if last != '\n' {
		w.w.WriteString(end)
	}
	w.w.WriteString("\n")
	return w.w.Flush()
}

// statusOf returns flags as the fields Status, X-Status and X-Keywords have them.
func statusOf(flags []string) (status, more, words string) {
	status = "O"
	var keywords []string
	for _, f := range flags {
		switch f {
		case `\Seen`:
			status = "RO"
		case `\Answered`:
			more += "A"
		case `\Flagged`:
			more += "F"
		case `\Deleted`:
			more += "D"
		case `\Draft`:
			more += "T"
		default:
			keywords = append(keywords, f)
		}
	}
	return status, more, strings.Join(keywords, " ")
}

func (w *mboxWriter) Close() error { return errors.Join(w.w.Flush(), w.f.Close()) }

// emlWriter writes a folder of .eml files.
type emlWriter struct {
	dir   string
	index *os.File
	w     *bufio.Writer
	enc   *json.Encoder
}

func newEmlWriter(root string, f Folder) (*emlWriter, error) {
	w := &emlWriter{dir: treePath(root, f.Name)}
	err := os.MkdirAll(w.dir, 0o700)
	if err == nil {
		w.index, err = os.OpenFile(filepath.Join(w.dir, indexName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return nil, err
	}
	w.w = bufio.NewWriter(w.index)
	w.enc = json.NewEncoder(w.w)
	return w, w.enc.Encode(indexFolder{f.UIDValidity, f.UIDNext, f.Subscribed})
}

func (w *emlWriter) Add(m Message, r io.Reader) (lost []string, err error) {
	name := fmt.Sprintf("%010d.eml", m.UID)
	path := filepath.Join(w.dir, name)
	if err := createFile(path, r); err != nil {
		return nil, err
	}
	flags := m.Flags
	if flags == nil {
		flags = []string{}
	}
	return nil, errors.Join(setDate(path, m.Date), w.enc.Encode(indexMessage{name, m.UID, flags}))
}

func (w *emlWriter) Close() error { return errors.Join(w.w.Flush(), w.index.Close()) }
