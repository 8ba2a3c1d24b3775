package lmtpadapter

import (
	"context"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/mailbox"
)

func TestFind(t *testing.T) {
	store := newFakeStore("alice@example.org", "carol", "carol@second.example", "c++", "plus+only@example.org", "x+@example.org")
	b := newBackend(t.Context(), &Options{}, store)
	for in, want := range map[string][2]string{
		"alice@example.org":           {"alice@example.org", ""},
		"ALICE@Example.org":           {"ALICE@Example.org", ""}, // the store folds case
		"alice+a@example.org":         {"alice@example.org", "a"},
		"alice+a+b@example.org":       {"alice@example.org", "a+b"},
		"alice+a/b@example.org":       {"alice@example.org", "a/b"},
		"alice+inbox@example.org":     {"alice@example.org", ""},
		"alice+Inbox/x@example.org":   {"alice@example.org", "INBOX/x"},
		"alice+a/@example.org":        {"alice@example.org", "a"},
		"alice+/a@example.org":        {"alice@example.org", ""},
		"alice+*@example.org":         {"alice@example.org", ""},
		"alice+@example.org":          {"alice@example.org", ""},
		"carol@anywhere.example":      {"carol", ""},
		"carol+a@anywhere.example":    {"carol", "a"},
		"carol+a@second.example":      {"carol@second.example", "a"},
		"c++@example.org":             {"c++", ""},
		"plus+only@example.org":       {"plus+only@example.org", ""},
		"x+@example.org":              {"x+@example.org", ""},
		"alice@elsewhere.example":     {},
		"+alice@example.org":          {},
		"al ice@example.org":          {},
		"alice@example.org@elsewhere": {},
	} {
		a, err := parseAddress(in)
		require.NoError(t, err, "%q", in)
		account, folder, err := b.resolve(t.Context(), a)
		if want[0] == "" {
			assert.ErrorIs(t, err, mailbox.ErrNoAccount, "%q", in)
			continue
		}
		require.NoError(t, err, "%q", in)
		assert.Equal(t, want, [2]string{account, folder}, "%q", in)
	}
}

// An account that cannot be looked up is not taken for one that does not exist.
func TestFindTrouble(t *testing.T) {
	store := newFakeStore("carol")
	store.accounts["carol@example.org"] = assert.AnError
	b := newBackend(t.Context(), &Options{}, store)
	_, _, err := b.resolve(t.Context(), address{"carol", "example.org"})
	assert.ErrorIs(t, err, assert.AnError)
}

// The log says why the store could not be asked, and not about whom.
func TestFindTroubleIsLogged(t *testing.T) {
	store := newFakeStore()
	store.accounts["carol@example.org"] = assert.AnError
	s := start(t, Options{}, store)
	k := s.dial(t)
	k.envelope()
	k.do("RCPT TO:<carol@example.org>", "451 4.3.0 ")
	assert.Contains(t, s.logs.String(), assert.AnError.Error())
	assert.NotContains(t, s.logs.String(), "carol")
}

func TestResolveHook(t *testing.T) {
	store := newFakeStore("box-1")
	hook := func(ctx context.Context, a string) (string, string, error) {
		switch a {
		case "sales@example.org":
			return "box-1", "Sales", nil
		case `odd "name@example.org`:
			return "box-1", "bad//folder", nil
		case "gone@example.org":
			return "box-2", "", nil
		case "moved@example.org":
			return "", "", &smtp.SMTPError{Code: 551, EnhancedCode: smtp.EnhancedCode{5, 1, 6}, Message: "Moved away"}
		case "nobody@example.org":
			return "", "", mailbox.ErrNoAccount
		}
		return "", "", assert.AnError
	}
	s := start(t, Options{Resolve: hook, Domains: []string{"not.asked"}}, store)
	k := s.dial(t)
	k.envelope("sales@example.org", `"odd \"name"@example.org`)
	k.do("RCPT TO:<gone@example.org>", "550 5.1.1 ")
	k.do("RCPT TO:<moved@example.org>", "551 5.1.6 Moved away")
	k.do("RCPT TO:<nobody@example.org>", "550 5.1.1 ")
	got := k.do("RCPT TO:<ill@example.org>", "451 4.3.0 ")
	assert.NotContains(t, got+s.logs.String(), assert.AnError.Error())
	k.do("DATA", "354 ")
	k.send("x\r\n.\r\n")
	k.expect("250 ")
	k.expect("250 ")
	require.Len(t, store.got(), 2)
	assert.Equal(t, "Sales", store.got()[0].folder)
	assert.Equal(t, "", store.got()[1].folder)
	assert.Contains(t, store.got()[1].prefix, "\r\nDelivered-To: \"odd \\\"name\"@example.org\r\n")
}
