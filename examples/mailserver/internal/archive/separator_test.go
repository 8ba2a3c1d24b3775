package archive

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// subjects returns the subjects of messages.
func subjects(got []kept) (out []string) {
	for _, k := range got {
		for name, value := range headerFields([]byte(k.Text)) {
			if name == "Subject" {
				out = append(out, value)
			}
		}
	}
	return out
}

// Folders as Thunderbird keeps them today: every separator is "From " alone, and in a
// folder that older versions began, only the newer ones are.
func TestThunderbirdFolders(t *testing.T) {
	read := func(name string) ([]kept, []error) {
		folders, errs := Mbox(filepath.Join("testdata", name), Options{})
		require.Empty(t, errs)
		require.Len(t, folders, 1)
		return readFolder(t, folders[0])
	}
	got, errs := read("thunderbird.mbox")
	require.Empty(t, errs)
	require.Equal(t, []string{"one", "two"}, subjects(got))
	assert.Equal(t, []string{`\Seen`}, got[0].Flags)
	assert.True(t, strings.HasSuffix(got[0].Text, "\r\n\r\nfirst\r\n"))
	assert.True(t, strings.HasSuffix(got[1].Text, "\r\n\r\nFrom here on: second\r\n"))

	got, errs = read("thunderbird-mixed.mbox")
	require.Empty(t, errs)
	require.Equal(t, []string{"old", "new", "deleted, folder not compacted"}, subjects(got))
	assert.Equal(t, []string{"$label1", `\Seen`}, got[0].Flags)
	assert.Empty(t, got[1].Flags)
	assert.Equal(t, []string{`\Deleted`, `\Seen`}, got[2].Flags)
	assert.Equal(t, time.Date(2020, 11, 2, 10, 0, 0, 0, time.UTC).Unix(), got[0].Date)
	assert.True(t, strings.HasSuffix(got[0].Text, "\r\n\r\nfirst\r\n"))
	assert.True(t, strings.HasSuffix(got[1].Text, "\r\n\r\nsecond\r\n"))
}

// The forms of From lines that programs write.
func TestFromLines(t *testing.T) {
	at := time.Date(2014, 3, 4, 5, 6, 7, 0, time.UTC)
	for line, want := range map[string]time.Time{
		"From ann@example.org Tue Mar  4 05:06:07 2014":             at,
		"From ann@example.org Tue Mar 4 05:06:07 2014":              at,
		"From ann@example.org Tue Mar 04 05:06:07 2014":             at,
		"From ann@example.org Tue Mar  4 5:06:07 2014":              at,
		"From ann@example.org Tue Mar  4 2014 05:06:07":             at, // the year before the time
		"From ann@example.org Tue 4 Mar 2014 05:06:07":              at,
		"From ann Tue Mar  4 05:06:07 2014 remote from host":        at,
		"From ann Tue Mar  4 05:06 2014 remote from host":           at.Truncate(time.Minute),
		"From - Tue Mar 04 05:06:07 2014":                           at,
		"From Tue Mar 04 05:06:07 2014":                             at,
		"From \"Ann B.\" <ann@example.org> Tue Mar 4 05:06:07 2014": at,
		"From MAILER-DAEMON\tTue Mar 4 05:06:07 2014 +0100":         at.Add(-time.Hour),
		"From 1461@xxx Tue Mar 04 05:06:07 +0000 2014":              at,
		"From ann@example.org Tue Mar  4 05:06:07 CET 2014":         at.Add(-time.Hour),
		"From ann Tue Mar  4 05:06:07 MET DST 2014":                 at.Add(-2 * time.Hour),
		"From ann@example.org Tue Mar  4 05:06:07 2014 PST":         at.Add(8 * time.Hour),
		"From ann@example.org Tue, 4 Mar 2014 05:06:07 +0100":       at.Add(-time.Hour), // one digit of a day
		"From ann@example.org Tue, 4 Mar 2014 05:06:07 -0700 (PDT)": at.Add(7 * time.Hour),
		"From ann@example.org Tuesday March 4 05:06:07 2014":        at,
		"From ann@example.org Tue Mar  4 05:06:07 PM 2014":          at.Add(12 * time.Hour),
		"From ann@example.org 2014-03-04T05:06:07+01:00":            at.Add(-time.Hour),
		"From ann@example.org 4 Mar 2014 05:06:07":                  at,
		"From here on":                                     {},
		"From my visit on Mar 4 2014 05:06":                {}, // no day of the week
		"From ann@example.org Tue Mar 32 05:06:07 2014":    {},
		"From ann@example.org Sat Feb 30 05:06:07 2014":    {},
		"From ann@example.org Tue Mar 4 25:06:07 2014":     {},
		"From ann@example.org Tue Mar 4 05:06:07":          {},
		"From Tue Mar 4 05:06:07 2014 onwards all is lost": {},
		"From ":    {},
		"From -":   {},
		"From - -": {},
	} {
		assert.True(t, want.Equal(fromDate(line)) || want.IsZero() && fromDate(line).IsZero(), "%s: %s", line, fromDate(line))
	}
}

// A line that begins with From separates messages where a header follows, or where it
// has a date and an empty line is before it.
func TestSeparators(t *testing.T) {
	one, two := "Subject: one\nFrom: a@example.org\n\nfirst\n", "Subject: two\nDate: now\n\nsecond\n"
	for name, c := range map[string]struct {
		text string
		want []string
		errs int
	}{
		"bare":                       {"From \n" + one + "\nFrom \n" + two, []string{"one", "two"}, 0},
		"bare, CR LF":                {strings.ReplaceAll("From \n"+one+"\nFrom \n"+two, "\n", "\r\n"), []string{"one", "two"}, 0},
		"bare, no empty line":        {"From \n" + one + "From \n" + two, []string{"one", "two"}, 0},
		"minus alone":                {"From - \n" + one + "\nFrom - \n" + two, []string{"one", "two"}, 0},
		"minus without a space":      {"From -\n" + one + "\nFrom -\n" + two, []string{"one", "two"}, 0},
		"dated, no empty line":       {fromLine + one + fromLine + two, []string{"one", "two"}, 0},
		"byte order mark":            {"\xef\xbb\xbf" + fromLine + one + "\n" + fromLine + two, []string{"one", "two"}, 0},
		"byte order mark, bare":      {"\xef\xbb\xbfFrom \n" + one + "\nFrom \n" + two, []string{"one", "two"}, 0},
		"byte order mark within":     {fromLine + one + "\n\xef\xbb\xbf" + fromLine + two, []string{"one", "two"}, 0},
		"sender alone":               {"From a@example.org\n" + one + "\nFrom b@example.org\n" + two, []string{"one", "two"}, 0},
		"date of another language":   {"From a Di Mär 4 05:06:07 2014\n" + one + "\nFrom b Di Mär 4 05:06:07 2014\n" + two, []string{"one", "two"}, 0},
		"date of numbers":            {"From a@b 04/03/14 05:06\n" + one + "\nFrom a@b 04/03/14 05:06\n" + two, []string{"one", "two"}, 0},
		"earlier hop of UUCP":        {"From a\n>From b Tue Mar  4 05:06:07 2014 remote from c\n" + one + "\n" + fromLine + two, []string{"one", "two"}, 0},
		"folded field":               {"From \nX-A: b\n c\n" + one + "\nFrom \n" + two, []string{"one", "two"}, 0},
		"text about From":            {fromLine + one + "\nFrom here on: second\nand so on\n", []string{"one"}, 1},
		"text of a word, a field":    {fromLine + one + "\nFrom Ann:\nDate: Tuesday\n\n", []string{"one"}, 1},
		"text, then a word, a colon": {fromLine + one + "\nFrom Ann's letter:\nNote: well\n\n", []string{"one"}, 1},
		"text, quoted fields":        {fromLine + one + "\nFrom the mail of Tuesday:\nSubject: two\nTo: b\n\n", []string{"one"}, 1},
		"text, nothing follows":      {fromLine + one + "\nFrom \n\nlast\n", []string{"one"}, 1},
		"text within a paragraph":    {fromLine + one + "it came\nFrom \nand so on\n", []string{"one"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, errs := mboxText(t, c.text, Options{})
			assert.Equal(t, c.want, subjects(got))
			assert.Len(t, errs, c.errs)
			for _, err := range errs {
				assert.ErrorIs(t, err, ErrText)
			}
			assert.True(t, strings.Contains(got[0].Text, "first\r\n"))
			if len(c.want) == 2 {
				assert.True(t, strings.HasSuffix(got[0].Text, "first\r\n"), "%q", got[0].Text)
				assert.True(t, strings.HasSuffix(got[1].Text, "second\r\n"), "%q", got[1].Text)
			}
		})
	}
}

// Lines of a message end in CR LF, each that does not: not the first one decides.
func TestMixedLineEnds(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "import-mixed-line-ends.eml"))
	require.NoError(t, err)
	want := strings.ReplaceAll(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n", "\r\n")
	require.NotEqual(t, want, string(b))
	dir := t.TempDir()
	write(t, filepath.Join(dir, "eml", "1.eml"), string(b))
	write(t, filepath.Join(dir, "maildir", "cur", "1"), string(b))
	write(t, filepath.Join(dir, "mbox"), fromLine+string(b)+"\n"+fromLine+string(b))
	for _, f := range []Folder{
		open(t, FormatEml, filepath.Join(dir, "eml"), Options{})[0],
		open(t, FormatMaildir, filepath.Join(dir, "maildir"), Options{})[0],
		open(t, FormatMbox, filepath.Join(dir, "mbox"), Options{})[0],
	} {
		got, errs := readFolder(t, f)
		require.Empty(t, errs)
		for _, k := range got {
			require.Equal(t, want, k.Text, f.Name)
		}
	}
	write(t, filepath.Join(dir, "bom", "1.eml"), "\xef\xbb\xbf"+string(b))
	got, _ := readFolder(t, open(t, FormatEml, filepath.Join(dir, "bom"), Options{})[0])
	require.Equal(t, want, got[0].Text)
}

// Where a name cannot have ":", flags come after something else.
func TestMaildirSeparators(t *testing.T) {
	for name, want := range map[string][2]string{
		"1.M2.host:2,S": {"1.M2.host", "S"}, "1.M2.host;2,S": {"1.M2.host", "S"}, "1.M2.host!2,RS": {"1.M2.host", "RS"},
		"1.M2.host%3A2,S": {"1.M2.host", "S"}, "1.M2.host\uf03a2,FS": {"1.M2.host", "FS"}, "1.M2.host": {"1.M2.host", ""},
		"1.M2.host,S=3,W=4:2,Sab": {"1.M2.host,S=3,W=4", "Sab"}, "1.a;b": {"1.a;b", ""}, "1.host:1,x": {"1.host", ""},
		"1.host;2,": {"1.host", ""}, "1.host:2,S,unknown": {"1.host", "S"}, "1.a;2,b.host:2,S": {"1.a;2,b.host", "S"},
	} {
		base, letters := splitInfo(name)
		assert.Equal(t, want, [2]string{base, letters}, name)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "cur", "1.M2.host;2,S"), "a\n")
	write(t, filepath.Join(dir, "dovecot-uidlist"), "3 V1 N9\n7 :1.M2.host\n")
	got, errs := readFolder(t, open(t, FormatMaildir, dir, Options{})[0])
	require.Empty(t, errs)
	require.Len(t, got, 1)
	assert.Equal(t, []string{`\Seen`}, got[0].Flags)
	assert.Equal(t, uint32(7), got[0].UID)
}

// Where the From line has no date, the one of the last hop is the date of arrival.
func TestDateOfHeader(t *testing.T) {
	for header, want := range map[string]int64{
		"Date: Tue, 4 Mar 2014 04:06:07 -0100\n": fromTime,
		"Received: by a; Tue, 4 Mar 2014 05:06:07 +0000 (UTC)\nReceived: by b;\n Mon, 3 Mar 2014 05:06:07 +0000\nDate: Mon, 3 Mar 2014 05:06:07 +0000\n": fromTime,
		"Received: by a\nDate: Tue, 4 Mar 2014 05:06:07 +0000\n": fromTime,
	} {
		got, errs := mboxText(t, "From \n"+header+"\nx\n", Options{})
		require.Empty(t, errs)
		assert.Equal(t, want, got[0].Date, header)
	}
}
