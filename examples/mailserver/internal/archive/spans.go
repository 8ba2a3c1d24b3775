package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// span is a message between its From line and the next.
type span struct {
	from       string // its line
	start, end int64  // of the message
	begin      int64  // of the line
	next       int64  // what comes after it
}

// spans finds where the messages of an mbox are.
type spans struct {
	r      *bufio.Reader
	at     int64             // of the next line
	counts func(string) bool // whether a From line does; nil: all do

	cur      span
	open     bool  // cur is a message
	empty    bool  // the line before was, or there was none
	emptyLen int64 // length of that empty line
	content  bool  // a line that is not empty is before the first message
}

func newSpans(r io.Reader) *spans {
	return &spans{r: bufio.NewReaderSize(r, 256<<10), empty: true}
}

// run yields the messages. An error with [ErrText] is about a line, and one with
// [ErrFolder] the last thing that is yielded.
func (s *spans) run(yield func(span, error) bool) {
	for {
		line, whole, err := s.line()
		if err != nil && err != io.EOF {
			s.cur.next = s.at
			yield(s.cur, fmt.Errorf("%w: %w", ErrFolder, err))
			return
		}
		goOn := true
		if text, ok := cutFrom(line); ok && (s.counts == nil || s.counts(text)) {
			goOn = s.from(text, s.at-whole, yield)
		} else {
			s.text(line, whole)
		}
		if !goOn {
			return
		}
		if err == io.EOF {
			s.finish(s.at, yield)
			return
		}
	}
}

// from takes a line that begins with "From " at an offset.
func (s *spans) from(text string, start int64, yield func(span, error) bool) bool {
	ahead, _ := s.r.Peek(aheadSize) // what cannot be read comes again
	if separates(text, s.empty || !s.open, lookAhead(ahead)) {
		if !s.open && !s.content {
			start = 0 // empty lines before the first message go with it
		}
		goOn := s.finish(start, yield)
		s.cur, s.open = span{from: text, begin: start, start: s.at}, true
		s.content, s.empty, s.emptyLen = false, false, 0
		return goOn
	}
	// It is text of the message before. It may have been meant otherwise.
	var why error
	switch {
	case !fromDate(text).IsZero():
		why = fmt.Errorf("%w: it begins with From and a date, but neither is an empty line before it nor a header behind it", ErrText)
	case s.empty:
		why = fmt.Errorf("%w: it begins with From, but has no date, and no header is behind it", ErrText)
	}
	s.empty, s.emptyLen, s.content = false, 0, true
	return why == nil || yield(span{begin: start, next: start}, why)
}

// text takes another line.
func (s *spans) text(line []byte, whole int64) {
	if whole == 0 {
		return
	}
	s.empty = whole == int64(len(line)) && len(bytes.TrimRight(line, "\r\n")) == 0
	s.emptyLen = 0
	if s.empty {
		s.emptyLen = whole
	} else {
		s.content = true
	}
}

// finish yields what ends at an offset.
func (s *spans) finish(next int64, yield func(span, error) bool) bool {
	s.cur.next = next
	switch {
	case s.open:
		s.cur.end = next
		if s.empty && next-s.emptyLen >= s.cur.start {
			s.cur.end = next - s.emptyLen // it belongs to the From line
		}
		return yield(s.cur, nil)
	case s.content:
		return yield(s.cur, fmt.Errorf("%w: %d bytes before the first From line", ErrNoMail, next))
	}
	return true
}

// line returns the beginning of the next line and its whole length.
func (s *spans) line() (head []byte, whole int64, err error) {
	b, err := s.r.ReadSlice('\n')
	head, whole = b, int64(len(b))
	if errors.Is(err, bufio.ErrBufferFull) {
		head = bytes.Clone(b[:256])
		for errors.Is(err, bufio.ErrBufferFull) {
			b, err = s.r.ReadSlice('\n')
			whole += int64(len(b))
		}
	}
	s.at += whole
	return head, whole, err
}
