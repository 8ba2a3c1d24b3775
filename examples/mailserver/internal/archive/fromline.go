package archive

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// A message of an mbox begins after a line that begins with "From ". What follows
// in it differs from program to program:
//
//	From ann@example.org Tue Mar  4 05:06:07 2014    the usual: sender, C's asctime
//	From ann Tue Mar  4 05:06:07 2014 remote from b  UUCP
//	From - Tue Mar 04 05:06:07 2014                  Thunderbird, until 2024
//	From                                             Thunderbird, since
//	From 17@xxx Tue Mar 04 05:06:07 +0000 2014       Google Takeout
//
// The same may be text of a mail that nobody quoted. So a line without a date
// separates only if a header follows it, and one with a date, if no empty line is
// before it.

var byteOrderMark = []byte("\xef\xbb\xbf")

// cutFrom returns a line that may separate messages, without its end.
func cutFrom(line []byte) (text string, ok bool) {
	line = bytes.TrimPrefix(line, byteOrderMark)
	if !bytes.HasPrefix(line, []byte("From ")) {
		return "", false
	}
	return strings.TrimRight(string(line), "\r\n"), true
}

// separates reports whether a From line begins a message. atBreak says that an empty
// line is before it, or no message.
func separates(line string, atBreak bool, next headerAhead) bool {
	words := strings.Fields(line)[1:]
	switch {
	case !fromDate(line).IsZero():
		return atBreak || next.known > 0 && next.whole
	case len(words) == 0 || len(words) == 1 && words[0] == "-":
		return next.fields > 0 && (atBreak || next.known > 0)
	case !atBreak || !next.whole:
		return false
	case looksDated(words):
		return next.known > 0
	}
	// A sender, with or without something that may be a date.
	return next.known > 1 && (len(words) == 1 || words[0] == "-" || strings.Contains(words[0], "@"))
}

// looksDated reports whether words have a time and a year, as dates in any language.
func looksDated(words []string) bool {
	var d dateWords
	clock, year := false, false
	for _, w := range words {
		clock = clock || d.isTime(w)
		year = year || d.isYear(w)
	}
	return clock && year
}

// headerAhead is what follows a From line.
type headerAhead struct {
	fields int  // how many header fields
	known  int  // how many of them nearly every mail has
	whole  bool // nothing else is before the empty line, or the end of what was looked at
}

// aheadSize is how much after a From line is looked at.
const aheadSize = 16 << 10

var knownFields = map[string]bool{
	"from": true, "to": true, "cc": true, "subject": true, "date": true, "message-id": true, "sender": true,
	"reply-to": true, "received": true, "return-path": true, "delivered-to": true, "mime-version": true,
	"content-type": true, "status": true, "x-status": true, "x-uid": true, "x-imapbase": true,
	"x-mozilla-status": true, "x-account-key": true, "x-gm-thrid": true, "x-gmail-labels": true,
}

// lookAhead judges what follows a From line.
func lookAhead(text []byte) headerAhead {
	var h headerAhead
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			h.whole = h.fields > 0
			return h
		case h.fields > 0 && (line[0] == ' ' || line[0] == '\t'): // goes on
		case h.fields == 0 && bytes.HasPrefix(line, []byte(">From ")): // an earlier hop of UUCP
		default:
			name, ok := fieldName(line)
			if !ok {
				return h
			}
			h.fields++
			if knownFields[strings.ToLower(name)] {
				h.known++
			}
		}
	}
	h.whole = h.fields > 0
	return h
}

// fieldName returns the name of a header field (RFC 5322 section 2.2).
func fieldName(line []byte) (string, bool) {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || len(name) == 0 {
		return "", false
	}
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return "", false
		}
	}
	return string(name), true
}

// fromDate returns the date of a From line, or the zero time. The sender may have
// spaces, or be missing.
func fromDate(line string) time.Time {
	words := strings.Fields(strings.TrimPrefix(line, "From "))
	if n := len(words); n > 3 && words[n-3] == "remote" && words[n-2] == "from" {
		words = words[:n-3]
	}
	for i := range min(len(words), 6) {
		if t, ok := parseDateWords(words[i:], i > 1); ok {
			return t.UTC()
		}
	}
	return time.Time{}
}

// dateWords is a date that is read word by word: their order differs.
type dateWords struct {
	year, day, hour, minute, second int
	month                           time.Month
	zone                            int // seconds east of Greenwich

	weekday, clock, zoned bool
}

// parseDateWords reads words that are a date and nothing else. A day of the week may
// be required: without one, text is easily taken for a date.
func parseDateWords(words []string, needWeekday bool) (time.Time, bool) {
	if len(words) == 1 {
		t, err := time.Parse(time.RFC3339, words[0])
		return t, err == nil && t.Year() > 0
	}
	var d dateWords
	for _, w := range words {
		if !d.take(w) {
			return time.Time{}, false
		}
	}
	if d.year == 0 || d.month == 0 || d.day == 0 || !d.clock || needWeekday && !d.weekday {
		return time.Time{}, false
	}
	t := time.Date(d.year, d.month, d.day, d.hour, d.minute, d.second, 0, time.FixedZone("", d.zone))
	return t, t.Day() == d.day
}

// take takes a word for the first thing that it can be and that is missing.
func (d *dateWords) take(w string) bool {
	word := strings.TrimSuffix(w, ",")
	switch {
	case !d.weekday && d.month == 0 && d.day == 0 && nameIn(word, weekdayNames) > 0:
		d.weekday = true
	case d.month == 0 && nameIn(word, monthNames) > 0:
		d.month = time.Month(nameIn(word, monthNames))
	case !d.clock && d.isTime(word):
		d.clock = true
	case d.day == 0 && d.isDay(word):
	case d.year == 0 && d.isYear(word):
	case d.clock && d.isHalf(word):
	case d.clock && d.isZone(word):
	default:
		return false
	}
	return true
}

var (
	weekdayNames = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
	monthNames   = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}
)

// nameIn returns which name a word is, or its first three letters; from 1 on.
func nameIn(word string, names []string) int {
	word = strings.ToLower(strings.TrimSuffix(word, "."))
	for i, n := range names {
		if word == n || word == n[:3] {
			return i + 1
		}
	}
	return 0
}

// isTime takes H:MM or H:MM:SS.
func (d *dateWords) isTime(word string) bool {
	parts := strings.Split(word, ":")
	if len(parts) != 2 && len(parts) != 3 || len(parts[0]) > 2 {
		return false
	}
	var n [3]int
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 8)
		if err != nil || i > 0 && len(p) != 2 || v > [3]uint64{23, 59, 60}[i] {
			return false
		}
		n[i] = int(v)
	}
	d.hour, d.minute, d.second = n[0], n[1], n[2]
	return true
}

// isHalf takes AM or PM.
func (d *dateWords) isHalf(word string) bool {
	switch {
	case word != "AM" && word != "PM" || d.hour > 12:
		return false
	case word == "AM" && d.hour == 12:
		d.hour = 0
	case word == "PM" && d.hour < 12:
		d.hour += 12
	}
	return true
}

func (d *dateWords) isDay(word string) bool {
	n, err := strconv.ParseUint(word, 10, 8)
	if err != nil || len(word) > 2 || n < 1 || n > 31 {
		return false
	}
	d.day = int(n)
	return true
}

func (d *dateWords) isYear(word string) bool {
	n, err := strconv.ParseUint(word, 10, 16)
	if err != nil || len(word) != 4 || n == 0 {
		return false
	}
	d.year = int(n)
	return true
}

// zones are names of time zones in hours east of Greenwich. Others count as 0, as
// RFC 5322 section 4.3 says.
var zones = map[string]int{
	"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
	"BST": 1, "CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9,
}

func (d *dateWords) isZone(word string) bool {
	digits := strings.ReplaceAll(strings.TrimLeft(word, "+-"), ":", "")
	if len(word) > len(digits) && len(digits) == 4 {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n/100 > 23 || n%100 > 59 {
			return false
		}
		d.zone = int(n/100*3600 + n%100*60)
		if word[0] == '-' {
			d.zone = -d.zone
		}
		d.zoned = true
		return true
	}
	name := strings.Trim(word, "()")
	if len(name) == 0 || len(name) > 5 || strings.ToUpper(name) != name || strings.ContainsAny(name, "0123456789:@.") {
		return false
	}
	switch {
	case d.zoned: // a number is more exact than the name behind it
	case name == "DST": // of MET DST
		d.zone += 3600
	default:
		d.zone = zones[name] * 3600
	}
	return true
}
