package account

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/letterlock/letterlock/examples/mailserver/internal/clitest"
)

func TestAccountQuota(t *testing.T) {
	clitest.DemoStore(t)
	assert.Equal(t, "storage: none\nmessages: none\n", ok(t, "", "account", "quota", "demo", "-store", "mail"))
	assert.Equal(t, "storage: 2097152\nmessages: none\n", ok(t, "", "account", "quota", "demo", "-store", "mail", "-storage", "2M"))
	assert.Equal(t, "storage: 2097152\nmessages: 10\n", ok(t, "", "account", "quota", "demo", "-store", "mail", "-messages", "10"))
	assert.Equal(t, "storage: none\nmessages: 10\n", ok(t, "", "account", "quota", "demo", "-store", "mail", "-storage", "none"))
	assert.JSONEq(t, `{"storage": 0, "messages": 10}`, ok(t, "", "account", "quota", "demo", "-store", "mail", "-json"))
	for _, bad := range []string{"", "0", "-1", "2X", "G", "99999999T", "2GM"} {
		var l limit
		assert.Error(t, l.Set(bad), bad)
	}
}
