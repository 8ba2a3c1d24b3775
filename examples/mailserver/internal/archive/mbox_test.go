package archive

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func mboxText(t testing.TB, text string, o Options) ([]kept, []error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "box")
	write(t, file, text)
	folders, errs := Mbox(file, o)
	require.Empty(t, errs)
	require.Len(t, folders, 1)
	return readFolder(t, folders[0])
}

const fromLine = "From ann@example.org Tue Mar  4 05:06:07 2014\n"

var fromTime = time.Date(2014, 3, 4, 5, 6, 7, 0, time.UTC).Unix()

// Both forms of quoting are taken back, flags and dates are those that programs
// noted, and lines get the ends of mail.
func TestMboxForms(t *testing.T) {
	text := fromLine + "Subject: a\nStatus: RO\nX-Status: AF\nX-Keywords: x y\n\n>From b\n>>From c\nFrom d\n\n" +
		fromLine + "\n" +
		fromLine + "Subject: e\r\n\r\n>From f\r\n\n" +
		"From MAILER-DAEMON\tTue Mar 4 05:06:07 2014 +0100\nX-Mozilla-Status: 0005\n\ng\n"
	want := []kept{
		{0, []string{`\Answered`, `\Flagged`, `\Seen`, "x", "y"}, fromTime, "Subject: a\r\nStatus: RO\r\nX-Status: AF\r\nX-Keywords: x y\r\n\r\nFrom b\r\n>From c\r\nFrom d\r\n"},
		{0, nil, fromTime, ""},
		{0, nil, fromTime, "Subject: e\r\n\r\nFrom f\r\n"},
		{0, []string{`\Flagged`, `\Seen`}, fromTime - 3600, "X-Mozilla-Status: 0005\r\n\r\ng\r\n"},
	}
	got, errs := mboxText(t, text, Options{})
	assert.Empty(t, errs)
	assert.Equal(t, want, got)
	got, errs = mboxText(t, text, Options{Mboxo: true})
	assert.Empty(t, errs)
	want[0].Text = strings.Replace(want[0].Text, ">From c", ">>From c", 1)
	assert.Equal(t, want, got)
}

// What is no message is told of, and nothing of it is lost.
func TestMboxBrokenLines(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
		errs int
	}{
		"empty":              {"", nil, 0},
		"cut":                {fromLine + "Subject: a", []string{"Subject: a"}, 0},
		"cut line":           {strings.TrimSpace(fromLine), []string{""}, 0},
		"only the line":      {fromLine, []string{""}, 0},
		"junk before":        {"junk\nFrom nowhere\n\n" + fromLine + "a\n", []string{"a\r\n"}, 1},
		"From without date":  {fromLine + "a\n\nFrom me to you\nb\n", []string{"a\r\n\r\nFrom me to you\r\nb\r\n"}, 1},
		"junk right before":  {"junk\n" + fromLine + "a\n\n" + fromLine + "b\n", []string{"a\r\n", "b\r\n"}, 1},
		"From without space": {fromLine + "a\n" + fromLine + "b\n", []string{"a\r\n" + strings.TrimSpace(fromLine) + "\r\nb\r\n"}, 1},
		"two lines":          {fromLine + fromLine + "\n", []string{strings.TrimSpace(fromLine) + "\r\n"}, 1},
		"From in a sentence": {fromLine + "it came\nFrom here\n", []string{"it came\r\nFrom here\r\n"}, 0},
		"NUL":                {fromLine + "a\x00\n\x00", []string{"a\x00\r\n\x00"}, 0},
		"long line":          {fromLine + "a\n" + strings.Repeat("From ", 60_000) + "\n\n" + fromLine, []string{"a\r\n" + strings.Repeat("From ", 60_000) + "\r\n", ""}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, errs := mboxText(t, c.text, Options{})
			assert.Len(t, errs, c.errs)
			var texts []string
			for _, k := range got {
				texts = append(texts, k.Text)
			}
			assert.Equal(t, c.want, texts)
		})
	}
	file := filepath.Join(t.TempDir(), "x")
	write(t, file, "%PDF-1.4 of no use")
	_, errs := Mbox(file, Options{})
	require.Len(t, errs, 1)
	_, errs = Mbox(file+"missing", Options{})
	require.Len(t, errs, 1)
}

// A tree of files is a tree of folders, and UIDs are those that servers noted.
func TestMboxTree(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Inbox"), fromLine+"X-IMAPbase: 1393909567 0000000012\nX-UID: 5\n\na\n\n"+fromLine+"Subject: s\nX-UID: 9\n\n\n"+fromLine+"X-UID: 9\n\n")
	write(t, filepath.Join(dir, "Inbox.sbd", "Work.mbox"), fromLine)
	write(t, filepath.Join(dir, "Inbox.msf"), "index")
	write(t, filepath.Join(dir, "notes.txt"), "none")
	folders, errs := Mbox(dir, Options{})
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "notes.txt")
	require.Len(t, folders, 2)
	require.Equal(t, "Inbox", folders[0].Name)
	require.Equal(t, "Inbox/Work", folders[1].Name)
	require.Equal(t, uint32(1393909567), folders[0].UIDValidity)
	require.Equal(t, uint32(13), folders[0].UIDNext)
	got, errs := readFolder(t, folders[0])
	require.Empty(t, errs)
	require.Equal(t, []uint32{5, 9, 0}, []uint32{got[0].UID, got[1].UID, got[2].UID})
}

// Whatever a file holds, every message can be read, and messages that were
// written come back.
func FuzzMbox(f *testing.F) {
	f.Add([]byte(fromLine+"a\n\n"+fromLine+"b"), false)
	f.Add([]byte("X-IMAPbase: 1 2\n\n>From \r\n"+fromLine), true)
	f.Add([]byte("\n\nFrom \n\r\r\n\x00"), true)
	f.Fuzz(func(t *testing.T, b []byte, keep bool) {
		dir := t.TempDir()
		file := filepath.Join(dir, "box")
		write(t, file, string(b))
		folders, _ := Mbox(file, Options{KeepLineEnds: keep})
		for _, folder := range folders {
			readFolder(t, folder)
		}
		w, err := NewWriter(FormatMbox, filepath.Join(dir, "out"))
		require.NoError(t, err)
		out, err := w.Folder(Folder{Name: "x", UIDValidity: 3, UIDNext: 9})
		require.NoError(t, err)
		text := string(b)
		for uid := range uint32(2) {
			_, err = out.Add(Message{UID: uid + 1, Date: time.Unix(fromTime, 0)}, strings.NewReader(text))
			require.NoError(t, err)
		}
		require.NoError(t, out.Close())
		got, errs := readFolder(t, open(t, FormatMbox, filepath.Join(dir, "out"), Options{KeepLineEnds: true})[0])
		require.Empty(t, errs)
		if text != "" && !strings.HasSuffix(text, "\n") {
			if i := strings.IndexByte(text, '\n'); i > 0 && i < 1024 && text[i-1] == '\r' {
				text += "\r"
			}
			text += "\n"
		}
		require.Len(t, got, 2)
		for i := range got {
			require.Equal(t, kept{uint32(i) + 1, nil, fromTime, text}, kept{got[i].UID, nil, got[i].Date, got[i].Text})
		}
	})
}
