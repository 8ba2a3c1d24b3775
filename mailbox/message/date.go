package message

import (
	"strconv"
	"strings"
	"time"
)

// Date returns the time in the Date field. It reads RFC 5322 section 3.3 and its
// obsolete forms, and what else real mail holds: no day of the week, no seconds,
// two-digit years, zone names, the order of C's asctime. Without a zone, or with
// one that is not known, the time is taken for UTC.
func (h Header) Date() (time.Time, bool) {
	return ParseDate(h.Get("Date"))
}

// ParseDate reads the unfolded text of a Date field as [Header.Date] does.
func ParseDate(text string) (time.Time, bool) { return parseDate(text) }

func parseDate(s string) (time.Time, bool) {
	day, month, year := -1, time.Month(0), -1
	hour, minute, sec := -1, 0, 0
	zone := 0
	for _, t := range dateTokens(s) {
		n, err := strconv.Atoi(strings.TrimLeft(t, "+-"))
		digits := err == nil
		switch {
		case strings.Contains(t, ":"):
			if hour >= 0 {
				return time.Time{}, false
			}
			var ok bool
			if hour, minute, sec, ok = clock(t); !ok {
				return time.Time{}, false
			}
		case digits && (t[0] == '+' || t[0] == '-') && hour >= 0:
			if len(t) == 5 && n <= 1459 && n%100 < 60 {
				if zone = (n/100*60 + n%100) * 60; t[0] == '-' {
					zone = -zone
				}
			}
		case digits && t[0] != '+' && t[0] != '-':
			switch {
			case day < 0 && n >= 1 && n <= 31 && len(t) <= 2:
				day = n
			case year < 0 && month != 0 && (len(t) == 2 || len(t) >= 3 && n <= 9999):
				year = fullYear(n, len(t))
			}
		case hour >= 0 && month != 0 && day >= 0:
			if z, ok := zones[strings.ToUpper(t)]; ok {
				zone = z * 3600
			}
		case month == 0:
			month = monthOf(t)
		}
	}
	if day < 0 || month == 0 || year < 0 {
		return time.Time{}, false
	}
	if hour < 0 {
		hour = 0
	}
	d := time.Date(year, month, day, hour, minute, sec, 0, time.FixedZone("", zone))
	return d, d.Day() == day // no 31st of February
}

// dateTokens splits at blanks and commas, and at hyphens inside of a word (as in
// 23-Nov-2026); comments are dropped.
func dateTokens(s string) []string {
	var list []string
	for s != "" && len(list) < 16 {
		switch {
		case s[0] == '(':
			s = s[commentLen(s):]
			continue
		case strings.IndexByte(" \t\r\n,-", s[0]) >= 0 && (s[0] != '-' || len(s) < 2 || s[1] < '0' || s[1] > '9' || len(list) < 4):
			s = s[1:]
			continue
		}
		n := strings.IndexAny(s[1:], " \t\r\n,-(+") + 1
		if n == 0 {
			n = len(s)
		}
		list = append(list, s[:n])
		s = s[n:]
	}
	return list
}

func clock(t string) (hour, minute, sec int, ok bool) {
	var v [3]int
	parts := strings.Split(t, ":")
	if len(parts) > 3 {
		return 0, 0, 0, false
	}
	for i, p := range parts {
		if i == 2 {
			p, _, _ = strings.Cut(p, ".")
		}
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil {
			return 0, 0, 0, false
		}
		v[i] = int(n)
	}
	return v[0], v[1], min(v[2], 59), v[0] < 24 && v[1] < 60 && v[2] <= 60
}

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
