// Package archive reads and writes the forms in which mail is kept in files: mbox
// (mboxrd and mboxo), folders of Thunderbird and of Apple Mail, Google Takeout,
// Maildir++ with what Dovecot keeps beside it, and folders of .eml files. It knows no
// store: a caller takes [Folder] after Folder, and Message after Message, and puts
// them where it likes.
//
//	Maildir(dir), Mbox(path), Takeout(path), Eml(dir) --> []Folder --> Message --> bytes
//	NewWriter(format, dir) <-- Folder <-- Message <-- bytes
//
// What a form can hold is kept: UIDs with UIDVALIDITY and UIDNEXT, flags and
// keywords, dates, subscriptions, and the bytes of a message. What is written by
// this package and read again is the same.
//
// Memory follows neither the size of a message nor, but for 12 bytes of each (200 of a
// Takeout), their number. What cannot be read is yielded as an error that names it, and
// the next message follows: nothing is left out in silence.
//
// Each line of a message that ends in LF, as in files of mail, becomes one that ends in
// CR LF, as mail has them; see [Options].
package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"
)

// Folder is one mailbox of an archive.
type Folder struct {
	Name        string // levels separated by "/"; what it may contain is not checked
	UIDValidity uint32 // 0 if the archive has none
	UIDNext     uint32
	Subscribed  bool   // true if the archive does not say
	SpecialUse  string // such as \Sent; empty if there is none
	Weight      int64  // sum of the messages' weights

	// Messages yields the messages in the order of their UIDs, every time anew. An
	// error is about the message, or file, that is yielded with it, and the next
	// one follows; after [ErrFolder] none does.
	Messages iter.Seq2[Message, error]
}

// Message is one message of a folder.
type Message struct {
	Name   string // file, or file and offset
	Key    string // tells the message from the others of its folder, and stays the same
	UID    uint32 // 0 if the archive has none
	Flags  []string
	Date   time.Time // zero if the archive has none
	Weight int64     // its part of the folder, to tell how far one is

	// Open returns the bytes. It may be called from another goroutine.
	Open func() (io.ReadCloser, error)
}

// Options say how an archive is read. The zero value is right for most.
type Options struct {
	KeepLineEnds bool // leave LF as it is, and a byte order mark
	Mboxo        bool // only ">From " is "From "; as in mboxo. Else also ">>From " is ">From ", as in mboxrd
}

// Errors that come with messages.
var (
	// ErrFolder says that the rest of the folder cannot be read.
	ErrFolder = errors.New("the rest of the folder cannot be read")

	// ErrText is about a line of an mbox that may have been meant to begin a message.
	// It is part of the message before, of which nothing is lost.
	ErrText = errors.New("a line is taken for text")

	// ErrNoMail says that something is no mail.
	ErrNoMail = errors.New("it is no mail")

	// ErrIncomplete says that the archive has only a part of the message.
	ErrIncomplete = errors.New("the message is not complete")
)

// headSize is how much of a message takes part in its Key.
const headSize = 8192

// file is a Message's file, opened to find its key and date.
type file struct {
	size int64
	date time.Time
	sum  [sha256.Size]byte
	head []byte
}

// look reads the beginning of a regular file.
func look(path string) (file, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return file{}, err
	}
	if !info.Mode().IsRegular() {
		return file{}, fmt.Errorf("%w: %s is not a regular file", ErrNoMail, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return file{}, err
	}
	defer f.Close()
	head := make([]byte, headSize)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return file{}, err
	}
	return file{size: info.Size(), date: info.ModTime(), sum: sha256.Sum256(head[:n]), head: head[:n]}, nil
}

// key returns what tells the file from others.
func (f file) key(name string) string { return fmt.Sprintf("%s\x00%d\x00%x", name, f.size, f.sum) }

// open returns a file's bytes, as mail.
func (o Options) open(path string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		r, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		return o.lines(r, r), nil
	}
}

// lines returns the bytes of a message in a file, as mail: without the byte order
// mark that editors put in front of a text.
func (o Options) lines(r io.Reader, c io.Closer) io.ReadCloser {
	if o.KeepLineEnds {
		return &readCloser{r, c}
	}
	src := bufio.NewReaderSize(r, lineBuffer)
	if head, _ := src.Peek(len(byteOrderMark)); bytes.Equal(head, byteOrderMark) {
		_, _ = src.Discard(len(head))
	}
	return &readCloser{&lineReader{src: src, crlf: true}, c}
}

type readCloser struct {
	io.Reader
	io.Closer
}

const lineBuffer = 32 << 10

// lineReader yields the lines of src, unquoted and with other ends.
type lineReader struct {
	src     *bufio.Reader
	crlf    bool                // LF becomes CR LF
	unquote func([]byte) []byte // of the beginning of a line; nil: none
	inside  bool                // of a line
	cr      bool                // the last byte read was CR
	rest    []byte              // of what src has in its buffer
	lf      bool                // a line's end is still to be yielded
}

func (l *lineReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		switch {
		case len(l.rest) > 0:
			k := copy(p[n:], l.rest)
			l.rest = l.rest[k:]
			n += k
		case l.lf:
			p[n] = '\n'
			n++
			l.lf = false
		default:
			if n > 0 && l.src.Buffered() == 0 {
				return n, nil
			}
			if err := l.next(); err != nil {
				if n > 0 {
					return n, nil // it comes again
				}
				return 0, err
			}
		}
	}
	return n, nil
}

// next takes a line, or as much of it as the buffer has.
func (l *lineReader) next() error {
	line, err := l.src.ReadSlice('\n')
	if len(line) == 0 && err != nil {
		return err
	}
	begins := !l.inside
	l.inside = line[len(line)-1] != '\n'
	body := line
	if l.crlf && !l.inside {
		body = line[:len(line)-1]
		cr := l.cr && !begins
		if len(body) > 0 {
			cr = body[len(body)-1] == '\r'
		}
		if cr {
			body = line
		} else {
			l.lf = true
			body = line[:len(line):len(line)]
			body[len(body)-1] = '\r' // the reader's own buffer
		}
	}
	l.cr = line[len(line)-1] == '\r'
	if begins && l.unquote != nil {
		body = l.unquote(body)
	}
	l.rest = body
	return nil
}

// unquoteFrom takes one ">" from a line that a writer of mbox quoted.
func unquoteFrom(line []byte) []byte {
	if q := bytes.TrimLeft(line, ">"); len(q) < len(line) && bytes.HasPrefix(q, []byte("From ")) {
		return line[1:]
	}
	return line
}

func unquoteFromOnce(line []byte) []byte {
	if bytes.HasPrefix(line, []byte(">From ")) {
		return line[1:]
	}
	return line
}

// maildirFlags are the letters of a Maildir's file names.
var maildirFlags = map[byte]string{
	'D': `\Draft`, 'F': `\Flagged`, 'P': "$Forwarded", 'R': `\Answered`, 'S': `\Seen`, 'T': `\Deleted`,
}

func letterOf(flag string) (byte, bool) {
	for letter, f := range maildirFlags {
		if letter != 'P' && strings.EqualFold(f, flag) {
			return letter, true
		}
	}
	return 0, false
}
