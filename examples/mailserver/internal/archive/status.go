package archive

import (
	"bytes"
	"iter"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
)

// headerFields yields the fields of a header, unfolded, until its empty line.
func headerFields(head []byte) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		var name string
		var value []byte
		for line := range bytes.Lines(head) {
			line = bytes.TrimRight(line, "\r\n")
			if len(line) == 0 {
				break
			}
			if line[0] == ' ' || line[0] == '\t' {
				value = append(value, line...)
				continue
			}
			if name != "" && !yield(name, string(bytes.TrimSpace(value))) {
				return
			}
			name, _ = fieldName(line)
			_, after, _ := bytes.Cut(line, []byte(":"))
			value = append(value[:0], after...)
		}
		if name != "" {
			yield(name, string(bytes.TrimSpace(value)))
		}
	}
}

// imapBase reads what IMAP servers note in the first message of an mbox: its
// UIDVALIDITY and the last UID.
func imapBase(header []byte) (validity, next uint32) {
	for name, value := range headerFields(header) {
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

// status is what programs note in a message's header.
type status struct {
	flags []string
	uid   uint32
	date  time.Time // when it came, of its Received field, else of its Date field
	came  bool      // date is of a Received field
}

func (s *status) add(flags ...string) {
	for _, f := range flags {
		if !slices.Contains(s.flags, f) {
			s.flags = append(s.flags, f)
		}
	}
}

// letters adds the flags whose letters are in a value.
func (s *status) letters(value string, flags map[rune]string) {
	for _, c := range value {
		if f, ok := flags[c]; ok {
			s.add(f)
		}
	}
}

// bits adds the flags whose bits are set in a hexadecimal value.
func (s *status) bits(value string, flags map[uint64]string) {
	n, err := strconv.ParseUint(value, 16, 32)
	if err != nil {
		return
	}
	for bit, f := range flags {
		if n&bit != 0 {
			s.add(f)
		}
	}
}

// statusFields are the fields that programs note something in. The bits of Mozilla
// are those of nsMsgMessageFlags.idl.
var statusFields = map[string]func(*status, string){
	"status": func(s *status, v string) { s.letters(v, map[rune]string{'R': `\Seen`}) },
	"x-status": func(s *status, v string) {
		s.letters(v, map[rune]string{'A': `\Answered`, 'F': `\Flagged`, 'D': `\Deleted`, 'T': `\Draft`})
	},
	"x-keywords":     func(s *status, v string) { s.add(strings.Fields(v)...) },
	"x-mozilla-keys": func(s *status, v string) { s.add(strings.Fields(v)...) },
	"x-mozilla-status": func(s *status, v string) {
		s.bits(v, map[uint64]string{1: `\Seen`, 2: `\Answered`, 4: `\Flagged`, 8: `\Deleted`, 0x1000: "$Forwarded"})
	},
	"x-mozilla-status2": func(s *status, v string) { s.bits(v, map[uint64]string{0x00800000: "$MDNSent"}) },
	"x-uid": func(s *status, v string) {
		if u, err := strconv.ParseUint(v, 10, 32); err == nil {
			s.uid = uint32(u)
		}
	},
	"received": func(s *status, v string) {
		if s.came { // the first one is the last hop's
			return
		}
		t, err := mail.ParseDate(v[strings.LastIndexByte(v, ';')+1:])
		if s.came = err == nil; s.came {
			s.date = t
		}
	},
	"date": func(s *status, v string) {
		if t, err := mail.ParseDate(v); err == nil && !s.came {
			s.date = t
		}
	},
}

func readStatus(head []byte) status {
	var s status
	for name, value := range headerFields(head) {
		if take := statusFields[strings.ToLower(name)]; take != nil {
			take(&s, value)
		}
	}
	slices.Sort(s.flags)
	return s
}

// mozillaFlags returns the flags that Thunderbird notes in a header.
func mozillaFlags(head []byte) []string {
	var s status
	for name, value := range headerFields(head) {
		name = strings.ToLower(name)
		if take := statusFields[name]; take != nil && strings.HasPrefix(name, "x-mozilla-") {
			take(&s, value)
		}
	}
	slices.Sort(s.flags)
	return s.flags
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
