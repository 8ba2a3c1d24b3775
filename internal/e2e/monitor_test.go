package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server is watched over HTTP while mail comes and goes; neither what it tells
// there nor its log names anybody or anything.
func TestMetrics(t *testing.T) {
	t.Parallel()
	dir := newStore(t)
	must(t, "pw\n", "account", "add", "quetzal@canary.example", "-store", dir)
	s := start(t, dir, "-metrics", "127.0.0.1:0", "-pprof")
	get := func(path string) (int, string) {
		r, err := http.Get("http://" + s.metrics + path)
		require.NoError(t, err)
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		return r.StatusCode, string(b)
	}
	eventually(t, "ready", func() bool { code, _ := get("/readyz"); return code == http.StatusOK })
	code, _ := get("/debug/pprof/heap?debug=1")
	assert.Equal(t, http.StatusOK, code)

	out := must(t, "Subject: Mictlantecuhtli\n\nChalchiuhtlicue\n", "deliver", "quetzal@canary.example", "-from", "xochipilli@sender.example", "-lmtp", s.lmtp)
	assert.Contains(t, out, "250")
	_, _, code = command(t, "Subject: x\n\ny\n", "deliver", "nobody@canary.example", "-lmtp", s.lmtp)
	assert.NotZero(t, code)
	c := dial(t, s.imap, nil) // as ann
	_, err := c.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	_, text := get("/metrics")
	for _, line := range []string{
		`letterlock_deliveries_total{result="ok"} 1`, `letterlock_sessions{protocol="imap"} 1`, `letterlock_logins_total{result="ok"} 1`,
		`letterlock_refusals_total{protocol="lmtp",what="recipient"} 1`, `letterlock_accounts_open 1`,
	} {
		assert.Contains(t, text, "\n"+line+"\n")
	}
	require.NoError(t, c.Logout().Wait())
	eventually(t, "the session to be over", func() bool {
		_, text := get("/metrics")
		return strings.Contains(text, "\nletterlock_sessions{protocol=\"imap\"} 0\n")
	})
	s.stop(t)
	for _, word := range []string{"quetzal", "canary", "Mictlan", "Chalchiuh", "xochipilli", "ann"} {
		assert.NotContains(t, text, word+"@")
		assert.NotContains(t, text, `"`+word)
		assert.NotContains(t, s.logged(), word+"@")
		if word != "ann" {
			assert.NotContains(t, text, word)
			assert.NotContains(t, s.logged(), word)
		}
	}
}
