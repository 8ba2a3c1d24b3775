package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func folderNames(folders []Folder) (names []string) {
	for _, f := range folders {
		names = append(names, f.Name)
	}
	return names
}

const bareMail = "From \nX-Mozilla-Status: 0001\nSubject: a\n\nx\n\n"

// A profile of Thunderbird: the mail of all its accounts, in mbox files and Maildirs,
// and nothing of the rest.
func TestThunderbirdProfile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"prefs.js":                                "user_pref()",
		"global-messages-db.sqlite":               "x",
		"Mail/Local Folders/Inbox":                bareMail,
		"Mail/Local Folders/Inbox.msf":            "index",
		"Mail/Local Folders/Inbox.sbd/Work":       bareMail,
		"Mail/Local Folders/Inbox.sbd/Work.msf":   "index",
		"Mail/Local Folders/Sent":                 "",
		"Mail/Local Folders/msgFilterRules.dat":   "x",
		"Mail/Local Folders/filterlog.html":       "x",
		"Mail/Local Folders/Inbox.mozmsgs/1":      "x",
		"Mail/pop.a.example/Archives.sbd/2024":    bareMail,
		"Mail/pop.a.example/R&D":                  bareMail,
		"Mail/pop.a.example/Later/cur/1.eml":      "X-Mozilla-Status: 0005\nSubject: b\n\ny\n",
		"Mail/pop.a.example/Later/tmp/2.eml":      "half",
		"Mail/pop.a.example/Later/Deep/cur/1:2,F": "Status: RO\nSubject: c\n\n",
		"ImapMail/i.example/Entw&APw-rfe":         bareMail,
		"ImapMail/i.example/Trash":                bareMail,
	} {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), text)
	}
	format, err := Find(dir)
	require.NoError(t, err)
	require.Equal(t, FormatMbox, format)
	folders := open(t, FormatMbox, dir, Options{})
	require.Equal(t, []string{
		"Local Folders/Inbox", "Local Folders/Inbox/Work", "Local Folders/Sent", "i.example/Entwürfe", "i.example/Trash",
		"pop.a.example/Archives/2024", "pop.a.example/Later", "pop.a.example/Later/Deep", "pop.a.example/R&D",
	}, folderNames(folders))
	assert.Equal(t, `\Sent`, find(t, folders, "Local Folders/Sent").SpecialUse)
	assert.Equal(t, `\Trash`, find(t, folders, "i.example/Trash").SpecialUse)
	got, errs := readFolder(t, find(t, folders, "pop.a.example/Later"))
	require.Empty(t, errs)
	require.Len(t, got, 1)
	assert.ElementsMatch(t, []string{`\Seen`, `\Flagged`}, got[0].Flags)

	got, errs = readFolder(t, find(t, folders, "pop.a.example/Later/Deep"))
	require.Empty(t, errs)
	assert.Equal(t, []string{`\Flagged`}, got[0].Flags, "Status is not Thunderbird's")

	// One account's folder alone has its folders at the top.
	account := filepath.Join(dir, "Mail", "Local Folders")
	format, err = Find(account)
	require.NoError(t, err)
	require.Equal(t, FormatMbox, format)
	require.Equal(t, []string{"Inbox", "Inbox/Work", "Sent"}, folderNames(open(t, FormatMbox, account, Options{})))
	require.Equal(t, []string{"Entwürfe", "Trash"}, folderNames(open(t, FormatMbox, filepath.Join(dir, "ImapMail", "i.example"), Options{})))
}

// emlxText is a file of Apple Mail.
func emlxText(mail string, flags int) string {
	return fmt.Sprintf("%-10d\n%s", len(mail), mail) + `<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict>
	<key>date-received</key>
	<integer>1393909567</integer>
	<key>flags</key>
	<integer>` + fmt.Sprint(flags) + `</integer>
</dict></plist>
`
}

// What Apple Mail exports, and its own folders.
func TestAppleMail(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Export/Work.mbox/mbox":                                         fromLine + "Subject: a\n\nx\n",
		"Export/Work.mbox/table_of_contents":                            "x",
		"Export/Work.mbox/Deep.mbox/mbox":                               fromLine + "Subject: b\n\nx\n",
		"Export/Sent Messages.mbox/mbox":                                "",
		"Mail/A/INBOX.mbox/Info.plist":                                  "x",
		"Mail/A/INBOX.mbox/6C1D/Data/Messages/10.emlx":                  emlxText("Subject: ten\n\nx\n", 1|1<<4),
		"Mail/A/INBOX.mbox/6C1D/Data/Messages/9.emlx":                   emlxText("Subject: nine\r\n\r\nx\r\n", 0),
		"Mail/A/INBOX.mbox/6C1D/Data/1/Messages/1000.partial.emlx":      emlxText("Subject: part\n\n", 1),
		"Mail/A/INBOX.mbox/6C1D/Data/1/Messages/1001.emlx":              "nonsense",
		"Mail/A/INBOX.mbox/6C1D/Data/1/Messages/1002.emlx":              "999\nSubject: cut\n\n",
		"Mail/A/INBOX.mbox/6C1D/Data/1/Attachments/1000/2/picture.jpeg": "x",
		"Mail/A/Archive.mbox/2024.mbox/6C1D/Data/Messages/1.emlx":       emlxText("Subject: one\n\n", 1<<2|1<<8),
	} {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), text)
	}
	export := filepath.Join(dir, "Export")
	format, err := Find(export)
	require.NoError(t, err)
	require.Equal(t, FormatMbox, format)
	folders := open(t, FormatMbox, export, Options{})
	require.Equal(t, []string{"Sent Messages", "Work", "Work/Deep"}, folderNames(folders))
	require.Equal(t, `\Sent`, folders[0].SpecialUse)
	one := filepath.Join(export, "Work.mbox")
	format, err = Find(one)
	require.NoError(t, err)
	require.Equal(t, FormatMbox, format)
	require.Equal(t, []string{"Work", "Work/Deep"}, folderNames(open(t, FormatMbox, one, Options{})))

	mail := filepath.Join(dir, "Mail", "A")
	format, err = Find(mail)
	require.NoError(t, err)
	require.Equal(t, FormatMbox, format)
	folders = open(t, FormatMbox, mail, Options{})
	require.Equal(t, []string{"Archive/2024", "INBOX"}, folderNames(folders))
	got, errs := readFolder(t, find(t, folders, "INBOX"))
	require.Len(t, errs, 3)
	require.ErrorIs(t, errs[0], ErrIncomplete)
	require.ErrorIs(t, errs[1], ErrNoMail)
	require.ErrorIs(t, errs[2], ErrNoMail)
	at := time.Unix(1393909567, 0).Unix()
	require.Equal(t, []kept{
		{0, nil, at, "Subject: nine\r\n\r\nx\r\n"},
		{0, []string{`\Seen`, `\Flagged`}, at, "Subject: ten\r\n\r\nx\r\n"},
	}, got)
	got, errs = readFolder(t, find(t, folders, "Archive/2024"))
	require.Empty(t, errs)
	require.Equal(t, []string{`\Answered`, "$Forwarded"}, got[0].Flags)
}

const takeoutLine = "From 1461@xxx Tue Mar 04 05:06:07 +0000 2014\r\n"

func takeoutMail(labels, subject string) string {
	if labels != "" {
		labels = "X-Gmail-Labels: " + labels + "\r\n"
	}
	return takeoutLine + "X-GM-THRID: 1461\r\n" + labels + "Subject: " + subject + "\r\n\r\ntext\r\n\r\n"
}

// Labels are folders and flags, and what Google added is not of the message.
func TestTakeout(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Takeout", "archive_browser.html"), "x")
	all := takeoutMail("Inbox,Unread,Category Promotions", "new") +
		takeoutMail("Sent,Opened,Work/2024", "sent") +
		takeoutMail(`Archived,Important,Starred,"Food, drink"`, "kept") +
		takeoutMail("=?UTF-8?Q?Posteingang,Wichtig,Kategorie:_=22Neuigkeiten=22,=C3=9Cb?=\r\n =?UTF-8?Q?ung?=", "German") +
		takeoutMail("Trash,Work/2024,IMAP_$Forwarded", "gone") +
		strings.Replace(takeoutMail("Archived", "old"), "text\r\n", "text\r\n\r\nFrom ann Tue Mar 4 05:06:07 2014\r\nnot quoted\r\n", 1) + takeoutMail("", "bare") + takeoutMail("Drafts,Inbox", "begun")
	file := filepath.Join(dir, "Takeout", "Mail", "All mail Including Spam and Trash.mbox")
	write(t, file, all)
	write(t, filepath.Join(dir, "Takeout", "Mail", "Work.mbox"), takeoutMail("Sent,Work/2024", "sent")+takeoutMail("Work/2024", "only here"))
	for _, path := range []string{dir, file} {
		format, err := Find(path)
		require.NoError(t, err)
		require.Equal(t, FormatTakeout, format)
	}
	folders, twice, errs := Takeout(t.Context(), dir, Options{})
	require.Empty(t, errs)
	assert.Equal(t, 1, twice)
	got := map[string][]string{}
	flags := map[string][]string{}
	for _, f := range folders {
		messages, errs := readFolder(t, f)
		require.Empty(t, errs)
		got[f.Name+f.SpecialUse] = subjects(messages)
		for i, m := range messages {
			assert.Equal(t, fromTime, m.Date)
			assert.True(t, strings.HasPrefix(m.Text, "Subject: "), m.Text)
			flags[subjects(messages)[i]] = m.Flags
		}
	}
	assert.Equal(t, map[string][]string{
		"INBOX": {"new", "German", "begun"}, `Sent\Sent`: {"sent"}, "Work/2024": {"sent", "only here"}, "Food, drink": {"kept"},
		"Übung": {"German"}, `Trash\Trash`: {"gone"}, `Archive\Archive`: {"old", "bare"}, `Drafts\Drafts`: {"begun"},
	}, got)
	assert.Equal(t, []string{"Category_Promotions"}, flags["new"])
	assert.Equal(t, []string{"$Important", `\Flagged`, `\Seen`}, flags["kept"])
	assert.Equal(t, []string{"$Important", "Kategorie_Neuigkeiten", `\Seen`}, flags["German"])
	assert.Equal(t, []string{"$Forwarded", `\Seen`}, flags["gone"])
	assert.Equal(t, []string{`\Draft`, `\Seen`}, flags["begun"])

	plain := filepath.Join(dir, "plain")
	write(t, plain, fromLine+"Subject: a\n\n")
	format, err := Find(plain)
	require.NoError(t, err)
	require.Equal(t, FormatMbox, format)
	zip := filepath.Join(dir, "takeout.zip")
	write(t, zip, "PK\x03\x04...")
	_, err = Find(zip)
	require.ErrorContains(t, err, "unpack it")
	require.NoError(t, os.Remove(zip))
}

func TestSplitLabels(t *testing.T) {
	for value, want := range map[string][]string{
		"":                  nil,
		"Inbox, Unread ,,x": {"Inbox", "Unread", "x"},
		`=?UTF-8?Q?Messages_archiv=C3=A9s,Ouvert,Cat=C3=A9gorie=C2=A0:_E-mails_?= =?UTF-8?Q?personnels,"Culture,_associations"?=`: {
			"Messages archivés", "Ouvert", "Catégorie : E-mails personnels", "Culture, associations",
		},
		"Inbox,=?UTF-8?B?w5xiZXIgdW5z?=": {"Inbox", "Über uns"},
		`"half`:                          {`"half`},
	} {
		assert.Equal(t, want, splitLabels(value), value)
	}
}

// Whatever a Takeout holds, every message can be read, and its key is its own.
func FuzzTakeout(f *testing.F) {
	f.Add([]byte("X-GM-THRID: 1\nX-Gmail-Labels: Inbox,a/b\nSubject: x\n\ny\n\n" + takeoutLine + "X-GM-THRID: 1\n"))
	f.Add([]byte("X-Gmail-Labels: =?utf-8?Q?\"a,b\"?=\n ,c\n\n" + takeoutLine + "X-GM-THRID: 1\n\n" + takeoutLine))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "all.mbox")
		write(t, file, takeoutLine+string(b))
		folders, _, _ := Takeout(t.Context(), file, Options{})
		require.NotEmpty(t, folders)
		for _, f := range folders {
			require.NotEmpty(t, f.Name)
			readFolder(t, f)
		}
	})
}
