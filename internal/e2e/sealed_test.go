package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// secrets are the words of a mailbox that nobody may find in its store.
var secrets = []string{
	"quarterly-zebra-forecast", // of a subject
	"marmalade.sender",         // of an address
	"hidden.recipient",
	"Confidential-Walrus-Folder", // a mailbox
	"$KeywordAboutPenguins",      // a flag
	"the-body-mentions-ocelots",  // of a text
	"attached-giraffe.pdf",       // of a part's header
	"giraffe-content-in-a-part",
	"Phone-of-the-pangolin", // a token's label
	"ann.pseudonym",         // an account
	password,
}

// fillWithSecrets puts all secrets into a store, through a server.
func fillWithSecrets(t *testing.T, s *server, dir string) {
	t.Helper()
	must(t, password+"\n", "account", "token", "add", "ann", "-label", "Phone-of-the-pangolin", "-store", dir)
	must(t, password+"\n", "account", "add", "ann.pseudonym@example.org", "-store", dir)
	text := fmt.Appendf(nil, "From: marmalade.sender@example.org\r\nTo: hidden.recipient@example.org\r\nSubject: quarterly-zebra-forecast\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nthe-body-mentions-ocelots\r\n"+
		"--b\r\nContent-Type: application/pdf; name=attached-giraffe.pdf\r\n\r\ngiraffe-content-in-a-part\r\n--b--\r\n")
	c := dial(t, s.imap, nil)
	require.NoError(t, c.Create("Confidential-Walrus-Folder/Inner", nil).Wait())
	require.NoError(t, c.Subscribe("Confidential-Walrus-Folder").Wait())
	lmtp, err := dialLMTP(t.Context(), s.lmtp)
	require.NoError(t, err)
	_, err = deliver(lmtp, text, "ann@example.org", "ann+Confidential-Walrus-Folder@example.org", "ann.pseudonym@example.org")
	require.NoError(t, err)
	require.NoError(t, lmtp.Quit())
	for range 3 {
		_, _, err := appendMail(c, "Confidential-Walrus-Folder", text)
		require.NoError(t, err)
	}
	_, err = c.Select("Confidential-Walrus-Folder", nil).Wait()
	require.NoError(t, err)
	all := imap.SeqSet{}
	all.AddRange(1, 0)
	require.NoError(t, c.Store(all, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"$KeywordAboutPenguins"}}, nil).Close())
	_, err = c.Copy(all, "INBOX").Wait()
	require.NoError(t, err)
	found, err := c.Search(&imap.SearchCriteria{Text: []string{"ocelots"}}, nil).Wait()
	require.NoError(t, err)
	require.Len(t, found.AllSeqNums(), 4)
	require.NoError(t, c.Logout().Wait())
}

// forms returns a word as it might stand in a file, by what that is called. Of
// base64 there are three, for the word's place in the group of three bytes,
// without the ends that depend on its neighbours.
func forms(word string) map[string][]byte {
	out := map[string][]byte{
		"plain": []byte(word), "hex": []byte(hex.EncodeToString([]byte(word))),
		"HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(word)))),
	}
	var wide bytes.Buffer
	for _, b := range []byte(word) {
		wide.Write([]byte{b, 0})
	}
	out["UTF-16"] = wide.Bytes()[:wide.Len()-1] // either byte order, but for the ends
	for shift := range 3 {
		for name, e := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			s := e.EncodeToString(append(make([]byte, shift), word...))
			out[fmt.Sprintf("%s+%d", name, shift)] = []byte(s[4 : len(s)-4])
		}
	}
	return out
}

// Whoever has the store's folder finds nothing in it: neither in files, nor in
// their names, in any case or usual coding.
func TestNothingInTheStoreCanBeRead(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	s := start(t, dir)
	fillWithSecrets(t, s, dir)
	s.stop(t)

	needles := map[string]map[string][]byte{}
	for _, word := range secrets {
		needles[word] = forms(word)
		for form, b := range forms(strings.ToLower(word)) {
			needles[word]["lower "+form] = b
		}
	}
	files := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		hay := append(append(b, 0), name...)
		for word, forms := range needles {
			for form, needle := range forms {
				assert.False(t, bytes.Contains(hay, needle), "%s has %s, %s", name, word, form)
			}
		}
		return err
	}))
	require.Greater(t, files, 20)

	// The same search finds a word that is there.
	b, err := os.ReadFile(filepath.Join(dir, "store", "format"))
	require.NoError(t, err)
	assert.True(t, bytes.Contains(b, forms("letterlock")["plain"]))
	coded := base64.StdEncoding.EncodeToString([]byte("xx quarterly-zebra-forecast yy"))
	assert.Contains(t, coded, string(forms("quarterly-zebra-forecast")["base64+0"]))
	for _, word := range secrets {
		assert.NotContains(t, s.logged(), word)
	}
}
