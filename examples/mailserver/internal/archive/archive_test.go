package archive

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kept is a message as a test compares it.
type kept struct {
	UID   uint32
	Flags []string
	Date  int64
	Text  string
}

// readFolder returns the messages of a folder and how many errors came between.
func readFolder(t testing.TB, f Folder) (out []kept, errs []error) {
	t.Helper()
	weight := int64(0)
	keys := map[string]bool{}
	for m, err := range f.Messages {
		weight += m.Weight
		if err != nil {
			errs = append(errs, err)
			continue
		}
		require.False(t, keys[m.Key], "keys differ")
		keys[m.Key] = true
		r, err := m.Open()
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		out = append(out, kept{m.UID, m.Flags, m.Date.Unix(), string(b)})
	}
	require.Equal(t, f.Weight, weight)
	return out, errs
}

func open(t testing.TB, format, path string, o Options) []Folder {
	t.Helper()
	var folders []Folder
	var errs []error
	switch format {
	case FormatMaildir:
		folders, errs = Maildir(path, o)
	case FormatMbox:
		folders, errs = Mbox(path, o)
	case FormatEml:
		folders, errs = Eml(path, o)
	}
	require.Empty(t, errs)
	return folders
}

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// What a Writer writes is read again as it was: folders, UIDs, flags, dates, bytes.
func TestRoundTrip(t *testing.T) {
	texts := []string{
		"Subject: one\r\n\r\nFrom here on\r\n>From there\r\n\r\nFrom me Mon Jan  2 15:04:05 2006\r\n",
		"X-UID: 7\r\nStatus: RO\r\n\r\nas others write it\r\n",
		"", "From x Mon Jan  2 15:04:05 2006\r\n\r\n\r\n\r\n", "Subject: \x00\xff\r\n\r\n" + strings.Repeat("x", 40_000) + "\r\n",
	}
	inexact := []string{"no end", "a\nb\n"} // which mbox has no room for
	names := []string{"INBOX", "INBOX/below", "Entwürfe & mehr", "a.b/.c", "日本/x?y", "CON/tail. "}
	for _, format := range []string{FormatMaildir, FormatMbox, FormatEml} {
		t.Run(format, func(t *testing.T) {
			texts := texts
			if format != FormatMbox {
				texts = append(slices.Clip(texts), inexact...)
			}
			dir := filepath.Join(t.TempDir(), "out")
			w, err := NewWriter(format, dir)
			require.NoError(t, err)
			want := map[string][]kept{}
			for i, name := range names {
				f, err := w.Folder(Folder{Name: name, UIDValidity: 77 + uint32(i), UIDNext: 1000, Subscribed: i%2 == 0})
				require.NoError(t, err)
				for j, text := range texts {
					k := kept{UID: uint32(3*j + 5), Date: int64(1_400_000_000 + 100*j + i), Text: text}
					if j%2 == 1 {
						k.Flags = []string{"$Label1", "NonJunk", `\Flagged`, `\Seen`}
					}
					lost, err := f.Add(Message{UID: k.UID, Flags: k.Flags, Date: time.Unix(k.Date, 0)}, strings.NewReader(text))
					require.NoError(t, err)
					require.Empty(t, lost)
					want[name] = append(want[name], k)
				}
				_, err = f.Add(Message{UID: 900, Date: time.Unix(1, 0)}, io.MultiReader(strings.NewReader("half"), failingReader{}))
				require.ErrorIs(t, err, errTest)
				require.NoError(t, f.Close())
			}
			require.NoError(t, w.Close())
			_, err = NewWriter(format, dir)
			require.ErrorContains(t, err, "not empty")

			folders := open(t, format, dir, Options{KeepLineEnds: true})
			require.Len(t, folders, len(names))
			for i, name := range names {
				f := find(t, folders, name)
				assert.Equal(t, 77+uint32(i), f.UIDValidity)
				assert.Equal(t, uint32(1000), f.UIDNext)
				if format != FormatMbox {
					assert.Equal(t, i%2 == 0, f.Subscribed)
				}
				got, errs := readFolder(t, f)
				require.Empty(t, errs)
				require.Len(t, got, len(want[name]))
				for j := range got {
					assert.ElementsMatch(t, want[name][j].Flags, got[j].Flags)
					got[j].Flags = want[name][j].Flags
				}
				assert.Equal(t, want[name], got)
			}
		})
	}
}

func find(t testing.TB, folders []Folder, name string) Folder {
	t.Helper()
	for _, f := range folders {
		if f.Name == name {
			return f
		}
	}
	require.Fail(t, "no folder", "%s", name)
	return Folder{}
}

var errTest = errors.New("test")

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errTest }

// A Maildir has room for 26 keywords a folder; the Writer says which are lost.
func TestMaildirKeywords(t *testing.T) {
	w, err := NewWriter(FormatMaildir, t.TempDir())
	require.NoError(t, err)
	f, err := w.Folder(Folder{Name: "INBOX", UIDValidity: 1, UIDNext: 9})
	require.NoError(t, err)
	var flags []string
	for i := range 28 {
		flags = append(flags, fmt.Sprint("k", i))
	}
	lost, err := f.Add(Message{UID: 1, Flags: flags, Date: time.Unix(9, 0)}, strings.NewReader("x"))
	require.NoError(t, err)
	require.Equal(t, []string{"k26", "k27"}, lost)
	require.NoError(t, f.Close())
}

// Lines end in CR LF, whatever the pieces in which they come.
func TestLineEnds(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("y", lineBuffer-1)
	for text, want := range map[string]string{
		"a\nb\n": "a\r\nb\r\n", "a\nb\r\nc\n\n": "a\r\nb\r\nc\r\n\r\n", "a\r\nb\n": "a\r\nb\r\n", "a": "a", "\n": "\r\n", "\n\n": "\r\n\r\n",
		"a\n" + long + "\n" + long + "\r\n" + long: "a\r\n" + long + "\r\n" + long + "\r\n" + long,
		"a\n" + long + "yy\nb":                     "a\r\n" + long + "yy\r\nb", "a\nx\ry\n": "a\r\nx\ry\r\n",
	} {
		write(t, filepath.Join(dir, "1.eml"), text)
		got, errs := readFolder(t, open(t, FormatEml, dir, Options{})[0])
		require.Empty(t, errs)
		require.Equal(t, want, got[0].Text, "%.20q", text)
		got, _ = readFolder(t, open(t, FormatEml, dir, Options{KeepLineEnds: true})[0])
		require.Equal(t, text, got[0].Text)
	}
}

// Folders with more files than are in memory at a time come whole and in order.
func TestWindows(t *testing.T) {
	for _, n := range []int{1, 2, 9, 10} {
		s := &smallest{n: 3}
		var got []string
		for {
			s = &smallest{n: 3, after: s.after}
			for i := range n {
				s.offer(fmt.Sprint("f", (i*7)%10))
			}
			found := s.sorted()
			if len(found) == 0 {
				break
			}
			require.LessOrEqual(t, len(found), 3)
			got = append(got, found...)
			s.after = found[len(found)-1]
		}
		require.Len(t, got, n)
		require.IsIncreasing(t, append([]string{""}, got...))
	}
}
