package demo_test

import (
	"strings"
	"testing"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/clitest"
	"github.com/letterlock/letterlock/examples/mailserver/internal/demo"
)

// The demo started again prints the same password and adds nothing; an account of
// that name with another password is left alone.
func TestDemoAgain(t *testing.T) {
	password := strings.TrimSpace(clitest.DemoStore(t))
	folders := ok(t, password, "folder", "list", "demo", "-json", "-store", "mail")
	for _, name := range []string{"Drafts", "Sent", "Trash"} {
		assert.Contains(t, folders, `"special_use":["\\`+name+`"]`)
	}
	again := func() string {
		blobs, err := diskblob.Open("mail", nil)
		require.NoError(t, err)
		s, err := mailbox.Open(t.Context(), blobs, mailbox.Options{Password: clitest.Cheap})
		require.NoError(t, err)
		var text strings.Builder
		require.NoError(t, demo.Start(t.Context(), &text, s, "mail.demo-password", nil))
		require.NoError(t, s.Close())
		return text.String()
	}
	assert.Contains(t, again(), password)
	assert.Contains(t, ok(t, password, "check", "-store", "mail", "-account", "demo"), "account: 3 messages")

	ok(t, password+"\nmine\n", "account", "passwd", "demo", "-store", "mail")
	assert.NotContains(t, again(), password)
	assert.Contains(t, ok(t, "mine", "check", "-store", "mail", "-account", "demo"), "account: 3 messages")
}
