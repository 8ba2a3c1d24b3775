package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// mboxFolder returns the folder that an mbox file is.
func mboxFolder(file, name string, o Options) (Folder, error) {
	head, size, err := fileHead(file)
	if err != nil {
		return Folder{}, err
	}
	if len(head) > 0 && !bytes.Contains(head, []byte("From ")) {
		return Folder{}, fmt.Errorf("%w: %s has no line that begins with From", ErrNoMail, file)
	}
	m := &mbox{file: file, options: o}
	out := Folder{Name: name, Weight: size, Subscribed: true, Messages: m.messages}
	if _, text, ok := bytes.Cut(head, []byte("\n")); ok {
		out.UIDValidity, out.UIDNext = imapBase(text)
	}
	m.uids = out.UIDValidity != 0
	return out, nil
}

// fileHead returns the first 4 KiB of a regular file, or of what a link leads to, and
// the file's size.
func fileHead(file string) ([]byte, int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: %s is not a regular file", ErrNoMail, file)
	}
	head := make([]byte, 4<<10)
	n, err := io.ReadFull(f, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return head[:n], info.Size(), err
}

type mbox struct {
	file    string
	options Options
	uids    bool // messages have X-UID fields that count
}

// name returns what a place in the file is called.
func (m *mbox) name(at int64) string { return fmt.Sprintf("%s, byte %d", m.file, at) }

func (m *mbox) messages(yield func(Message, error) bool) {
	f, err := os.Open(m.file)
	if err != nil {
		yield(Message{Name: m.file}, fmt.Errorf("%w: %w", ErrFolder, err))
		return
	}
	defer f.Close()
	last := uint32(0)
	first := true
	newSpans(f).run(func(sp span, err error) bool {
		if err != nil {
			return yield(Message{Name: m.name(sp.begin), Weight: sp.next - sp.begin}, err)
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

// head returns the beginning of a message.
func (sp span) head(f io.ReaderAt) ([]byte, error) {
	head := make([]byte, min(sp.end-sp.start, headSize))
	n, err := f.ReadAt(head, sp.start)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return head[:n], err
}

// message finds what is known of a message.
func (m *mbox) message(f io.ReaderAt, sp span, first bool) (Message, error) {
	msg := Message{Name: m.name(sp.begin), Weight: sp.next - sp.begin, Date: fromDate(sp.from)}
	head, err := sp.head(f)
	if err != nil {
		return msg, err
	}
	msg.Key = fmt.Sprintf("%d\x00%x", sp.begin, sha256.Sum256(head))
	own := ownFields(head, first)
	fields := readStatus(head)
	if own > 0 {
		fields = readStatus(head[:own]) // the message may have others
	}
	msg.Flags, msg.UID = fields.flags, fields.uid
	if msg.Date.IsZero() {
		msg.Date = fields.date
	}
	msg.Open = m.open(sp.start+int64(own), sp.end)
	return msg, nil
}

// open returns the bytes of a message, as mail.
func (m *mbox) open(start, end int64) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		r, err := os.Open(m.file)
		if err != nil {
			return nil, err
		}
		l := &lineReader{
			src:  bufio.NewReaderSize(io.NewSectionReader(r, start, end-start), lineBuffer),
			crlf: !m.options.KeepLineEnds, unquote: unquoteFrom,
		}
		if m.options.Mboxo {
			l.unquote = unquoteFromOnce
		}
		return &readCloser{l, r}, nil
	}
}
