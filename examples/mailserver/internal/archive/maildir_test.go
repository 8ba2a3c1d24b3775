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

// A Maildir as Dovecot left it, with mail that it has not seen yet and what does
// not belong there.
func TestMaildir(t *testing.T) {
	dir := t.TempDir()
	at := time.Unix(1_300_000_000, 0)
	put := func(name, text string) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		write(t, path, text)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	put("cur/1300000001.M1P1.host,S=3,W=4:2,FSab", "b\n\n")
	put("cur/1300000000.M1P1.host:2,RTz", "a\n")
	put("cur/1300000003.stray", "stray\n")
	put("cur/.hidden", "no")
	put("cur/sub/inner", "no")
	put("new/1300000002.M1P1.host", "new\n")
	put("dovecot-uidlist", "3 V1275660208 N25022 G3085f01b\n7 :1300000001.M1P1.host,S=3,W=4\nbroken\n9 W5 :1300000000.M1P1.host:2,S\n9 :again\n12 :gone\n")
	put("dovecot-keywords", "0 $Forwarded\n1 Work\n40 no\n")
	put("subscriptions", "INBOX\nWork.2024\n")
	put(".Work.2024/cur/x:2,P", "p\n")
	put(".Entw&APw-rfe/new/y", "")
	put(".bad&name/cur/z", "z")
	put(".nothing/else", "")
	folders, errs := Maildir(dir, Options{})
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], ".bad&name")
	require.Len(t, folders, 4)

	inbox := find(t, folders, "INBOX")
	assert.Equal(t, uint32(1275660208), inbox.UIDValidity)
	assert.Equal(t, uint32(25022), inbox.UIDNext)
	assert.True(t, inbox.Subscribed)
	got, errs := readFolder(t, inbox)
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "not a regular file")
	assert.Equal(t, []kept{
		{7, []string{`\Flagged`, `\Seen`, "$Forwarded", "Work"}, at.Unix(), "b\r\n\r\n"},
		{9, []string{`\Answered`, `\Deleted`}, at.Unix(), "a\r\n"},
		{0, nil, at.Unix(), "new\r\n"},
		{0, nil, at.Unix(), "stray\r\n"},
	}, got)
	work := find(t, folders, "Work/2024")
	assert.True(t, work.Subscribed)
	assert.Zero(t, work.UIDValidity)
	got, _ = readFolder(t, work)
	assert.Equal(t, []kept{{0, []string{"$Forwarded"}, at.Unix(), "p\r\n"}}, got)
	assert.False(t, find(t, folders, "Entwürfe").Subscribed)
	find(t, folders, "bad&name")

	put("dovecot-uidlist", "2 what\n")
	folders, errs = Maildir(dir, Options{})
	require.Len(t, errs, 2)
	got, _ = readFolder(t, find(t, folders, "INBOX"))
	require.Len(t, got, 4, "messages are there without their UIDs")
	_, errs = Maildir(filepath.Join(dir, "cur"), Options{})
	require.Len(t, errs, 1)
}

func FuzzUIDList(f *testing.F) {
	f.Add([]byte("3 V1 N2\n1 :a\n2 S4 :b:2,S\n"))
	f.Add([]byte("1 5 6\n1 a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, uidListName), string(b))
		l, err := openUIDList(dir)
		if err != nil {
			return
		}
		defer l.Close()
		require.NotZero(t, l.validity)
		last := uint32(0)
		for {
			e, err := l.entry()
			if err != nil {
				break
			}
			require.Greater(t, e.uid, last)
			require.NotEmpty(t, e.base)
			last = e.uid
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range []string{"INBOX", "Entw&APw-rfe", "a&b", "&-", "日本", "a.b", "%2E", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, err := decodeUTF7(s); err == nil {
			back, err := decodeUTF7(encodeUTF7(name, "."))
			require.NoError(t, err)
			require.Equal(t, name, back)
		}
		if !strings.Contains(s, "%") {
			require.Equal(t, s, levelName(fileName(s)))
		}
	})
}

// Files that are no mail, and an index that does not fit, are told of or passed
// over.
func TestEml(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.EML"), "a")
	write(t, filepath.Join(dir, ".DS_Store"), "")
	write(t, filepath.Join(dir, "b.txt"), "")
	write(t, filepath.Join(dir, "Work", "2024", "c.eml"), "c")
	write(t, filepath.Join(dir, "Work", "2024", indexName), `{"uidvalidity":4,"uidnext":9}`+"\n"+`{"file":"b.eml","uid":3}`+"\n"+`{"file":"c.eml","uid":5,"flags":["x"]}`+"\nnonsense")
	require.NoError(t, os.Symlink(filepath.Join(dir, "a.EML"), filepath.Join(dir, "Work", "2024", "d.eml")))
	folders, errs := Eml(dir, Options{})
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "b.txt")
	require.Len(t, folders, 2)
	got, _ := readFolder(t, find(t, folders, "INBOX"))
	require.Equal(t, "a", got[0].Text)
	got, errs = readFolder(t, find(t, folders, "Work/2024"))
	require.Len(t, errs, 1, "no link leads out of an archive")
	require.Len(t, got, 1)
	require.Equal(t, uint32(5), got[0].UID)
	require.Equal(t, []string{"x"}, got[0].Flags)
}
