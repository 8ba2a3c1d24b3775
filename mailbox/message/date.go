package message

import (
	"strconv"
	"strings"
	"time"
)

// Date returns the time in the Date field. It reads RFC 5322 section 3.3 and its
// obsolete forms, and what else real mail holds: no day of the week, no seconds,
// two-digit years, zone names, zones with a colon, the order of C's asctime and of
// ISO 8601. Without a zone, or with one that is not known, the time is taken for UTC
// (RFC 5322 section 4.3).
func (h Header) Date() (time.Time, bool) {
	return ParseDate(h.Get("Date"))
}

// ParseDate reads the unfolded text of a Date field as [Header.Date] does.
func ParseDate(text string) (time.Time, bool) {
	d := dateParser{day: -1, year: -1, hour: -1}
	for _, t := range dateTokens(text) {
		if !d.token(t) {
			return time.Time{}, false
		}
	}
	return d.time()
}

// dateParser gathers the parts of a date, which are told from each other by their
// form and by what came before.
type dateParser struct {
	day, year, hour, minute, sec int // -1 if not seen
	month                        time.Month
	zone                         int // seconds east of UTC
	signed                       bool
}

// token takes the next token. It reports false if the text can be no date.
func (d *dateParser) token(t string) bool {
	switch {
	case d.hour >= 0 && (t[0] == '+' || t[0] == '-'):
		d.offset(t)
	case strings.Contains(t, ":"):
		return d.hour >= 0 || d.clock(t) // a second one is a zone without a sign
	case '0' <= t[0] && t[0] <= '9':
		d.number(t)
	case d.month == 0:
		d.month = monthOf(t)
	case d.hour >= 0:
		d.name(t)
	}
	return true
}

// number takes a day or a year.
func (d *dateParser) number(t string) {
	n, err := strconv.Atoi(t)
	switch {
	case err != nil:
	case d.year < 0 && d.month == 0 && d.day < 0 && len(t) == 4: // ISO 8601
		d.year = n
	case d.year >= 0 && d.month == 0 && 1 <= n && n <= 12:
		d.month = time.Month(n)
	case d.day < 0 && 1 <= n && n <= 31 && len(t) <= 2:
		d.day = n
	case d.year < 0 && d.month != 0 && (len(t) == 2 || len(t) >= 3 && n <= 9999):
		d.year = fullYear(n, len(t))
	}
}

// name takes the name of a zone, or AM or PM. Others say nothing.
func (d *dateParser) name(t string) {
	t = strings.ToUpper(t)
	switch {
	case t == "PM" && d.hour < 12:
		d.hour += 12
	case t == "AM" && d.hour == 12:
		d.hour = 0
	case !d.signed:
		if hours, ok := zones[t]; ok {
			d.zone = hours * 3600
		}
	}
}

// offset takes a zone such as +0200, +02:00, +02 or +2. One that cannot be read is
// as good as none.
func (d *dateParser) offset(t string) {
	digits := t[1:]
	hours, minutes, colon := strings.Cut(digits, ":")
	if !colon {
		at := max(0, len(digits)-2)
		if len(digits) <= 2 {
			at = len(digits)
		}
		hours, minutes = digits[:at], digits[at:]
	}
	h, err1 := strconv.ParseUint(hours, 10, 8)
	m, err2 := uint64(0), error(nil)
	if minutes != "" {
		m, err2 = strconv.ParseUint(minutes, 10, 8)
	}
	if err1 != nil || err2 != nil || h > 14 || m > 59 || len(digits) > 5 || d.signed {
		return
	}
	d.signed = true
	d.zone = int(h*3600 + m*60)
	if t[0] == '-' {
		d.zone = -d.zone
	}
}

func (d *dateParser) time() (time.Time, bool) {
	if d.day < 0 || d.month == 0 || d.year < 0 {
		return time.Time{}, false
	}
	t := time.Date(d.year, d.month, d.day, max(d.hour, 0), d.minute, d.sec, 0, time.FixedZone("", d.zone))
	return t, t.Day() == d.day // no 31st of February
}

// clock takes a time of the day, which may have fractions of a second.
func (d *dateParser) clock(t string) bool {
	var v [3]int
	parts := strings.Split(t, ":")
	if len(parts) > 3 {
		return false
	}
	for i, p := range parts {
		if i == 2 {
			p, _, _ = strings.Cut(p, ".")
		}
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil {
			return false
		}
		v[i] = int(n)
	}
	d.hour, d.minute, d.sec = v[0], v[1], min(v[2], 59)
	return v[0] < 24 && v[1] < 60 && v[2] <= 60
}

// dateTokens splits at blanks and commas, before signs, at hyphens inside of a word
// (as in 23-Nov-2026), and between the digits and letters of ISO 8601 and of "5PM";
// comments are dropped.
func dateTokens(s string) []string {
	var list []string
	clock := false // has come: from here on a hyphen is the sign of a zone
	for s != "" && len(list) < 16 {
		switch c := s[0]; {
		case c == '(':
			s = s[commentLen(s):]
			continue
		case strings.IndexByte(" \t\r\n,", c) >= 0 || (c == '-' || c == '+') && (!clock || len(s) < 2 || !isDigit(s[1])):
			s = s[1:]
			continue
		}
		n := 1
		for n < len(s) && strings.IndexByte(" \t\r\n,-(+", s[n]) < 0 && !(isDigit(s[n-1]) && isLetter(s[n])) {
			n++
		}
		list = append(list, s[:n])
		clock = clock || strings.Contains(s[:n], ":")
		s = s[n:]
		if len(s) > 1 && (s[0] == 'T' || s[0] == 't') && isDigit(s[1]) {
			s = s[1:] // of ISO 8601, between date and time
		}
	}
	return list
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// fullYear reads years of less than four digits as RFC 5322 section 4.3 says.
func fullYear(n, digits int) int {
	switch {
	case digits == 2 && n < 50:
		return n + 2000
	case digits <= 3:
		return n + 1900
	}
	return n
}

func monthOf(t string) time.Month {
	if len(t) >= 3 {
		for m := time.January; m <= time.December; m++ {
			if strings.EqualFold(t[:3], m.String()[:3]) {
				return m
			}
		}
	}
	return 0
}

// zones are the zone names of RFC 5322 section 4.3 and the few others that are
// seen, in hours.
var zones = map[string]int{
	"UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6,
	"PST": -8, "PDT": -7, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "BST": 1, "WET": 0, "WEST": 1, "JST": 9,
}
