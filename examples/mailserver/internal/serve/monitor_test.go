package serve

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/blob/observeblob"
	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/examples/mailserver/internal/clitest"
	"github.com/letterlock/letterlock/mailbox"
)

// watched starts a monitor over a store in memory.
func watched(t *testing.T, blobs blob.Store, withPprof bool) (*monitor, *mailbox.Store) {
	t.Helper()
	f := monitorFlags{metrics: "127.0.0.1:0", pprof: withPprof}
	m, err := f.monitor(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	s, err := mailbox.Open(t.Context(), observeblob.Wrap(blobs, m.hooks()), mailbox.Options{Password: clitest.Cheap, Observe: m.hooks()})
	require.NoError(t, err)
	require.NoError(t, m.serve(s, func() error { return nil }))
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		m.close()
	})
	return m, s
}

func get(t *testing.T, m *monitor, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + m.listener.Addr().String() + path)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, string(b)
}

// What can be read and what can be written is told apart.
func TestReadyzOfAReadOnlyStore(t *testing.T) {
	m, _ := watched(t, memblob.New(), false)
	m.ready(true)
	code, text := get(t, m, "/readyz?write")
	assert.Equal(t, http.StatusOK, code)
	assert.Equal(t, "ok\n", text)
	m.writable = func() error { return errors.New("read-only") }
	code, text = get(t, m, "/readyz")
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, text, "cannot be written")
	code, _ = get(t, m, "/readyz?write")
	assert.Equal(t, http.StatusServiceUnavailable, code)
}

func TestHealthAndReadiness(t *testing.T) {
	blobs := memblob.New()
	m, _ := watched(t, blobs, false)
	code := func(path string) int {
		c, _ := get(t, m, path)
		return c
	}
	assert.Equal(t, http.StatusOK, code("/healthz"))
	assert.Equal(t, http.StatusServiceUnavailable, code("/readyz"), "before it serves")
	m.ready(true)
	assert.Equal(t, http.StatusOK, code("/readyz"))
	assert.Equal(t, http.StatusNotFound, code("/debug/pprof/"), "nobody asked for it")
	require.NoError(t, blobs.Delete(t.Context(), access.FormatObject))
	assert.Equal(t, http.StatusServiceUnavailable, code("/readyz"), "the store is gone")
	assert.Equal(t, http.StatusOK, code("/healthz"))
	m.ready(false)
	assert.Equal(t, http.StatusServiceUnavailable, code("/readyz"))
}

func TestPprofOnRequestAndOnLoopback(t *testing.T) {
	m, _ := watched(t, memblob.New(), true)
	code, text := get(t, m, "/debug/pprof/goroutine?debug=1")
	assert.Equal(t, http.StatusOK, code)
	assert.Contains(t, text, "goroutine profile")

	var usage cli.UsageError
	f := monitorFlags{metrics: "0.0.0.0:0", pprof: true}
	_, err := f.monitor(slog.New(slog.DiscardHandler))
	require.ErrorAs(t, err, &usage)
	f = monitorFlags{pprof: true}
	_, err = f.monitor(nil)
	require.ErrorAs(t, err, &usage)
}

// Every metric that the dashboard names is there from the beginning, and every
// metric of ours is on the dashboard.
func TestDashboardNamesWhatThereIs(t *testing.T) {
	m, _ := watched(t, memblob.New(), false)
	_, exposed := get(t, m, "/metrics")
	there := map[string]bool{}
	for line := range strings.Lines(exposed) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			there[strings.Fields(name)[0]] = true
		}
	}
	b, err := os.ReadFile("../../deploy/grafana.json")
	require.NoError(t, err)
	var board struct {
		Title      string
		UID        string
		Templating struct {
			List []struct{ Name, Query string }
		}
		Panels []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ RefID, Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(b, &board))
	assert.NotEmpty(t, board.Title)
	assert.NotEmpty(t, board.UID)
	named := map[string]bool{}
	metric := regexp.MustCompile(`\b(letterlock|process|go)_[a-z_]+\b`)
	ids := map[int]bool{}
	for _, p := range board.Panels {
		assert.False(t, ids[p.ID], "panel %d is there twice", p.ID)
		ids[p.ID] = true
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		if p.Type != "row" {
			assert.NotEmpty(t, p.Targets, p.Title)
		}
		for _, target := range p.Targets {
			found := metric.FindAllString(target.Expr, -1)
			assert.NotEmpty(t, found, target.Expr)
			assert.Equal(t, strings.Count(target.Expr, "("), strings.Count(target.Expr, ")"), target.Expr)
			for _, name := range found {
				if base, ok := strings.CutSuffix(name, "_bucket"); ok {
					name = base
				}
				named[name] = true
				assert.True(t, there[name], "the dashboard names %s, which is not exposed", name)
			}
		}
	}
	for _, v := range board.Templating.List {
		for _, name := range metric.FindAllString(v.Query, -1) {
			assert.True(t, there[name], name)
		}
	}
	for name := range there {
		if strings.HasPrefix(name, "letterlock_") {
			assert.True(t, named[name], "%s is not on the dashboard", name)
		}
	}
	assert.Greater(t, len(named), 30)
}

// What happens is counted.
func TestMetricsCount(t *testing.T) {
	m, s := watched(t, memblob.New(), false)
	require.NoError(t, s.CreateAccount(t.Context(), "ann", []byte("pw")))
	a, err := s.Login(t.Context(), "ann", []byte("pw"))
	require.NoError(t, err)
	defer a.Close()
	errs := s.Deliver(t.Context(), []mailbox.Recipient{{Account: "ann"}, {Account: "nobody"}}, strings.NewReader("Subject: x\r\n\r\ny\r\n"))
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], mailbox.ErrNoAccount)
	require.NoError(t, a.Create(t.Context(), "Work"))
	_, text := get(t, m, "/metrics")
	for _, line := range []string{
		`letterlock_deliveries_total{result="ok"} 1`,
		`letterlock_deliveries_total{result="refused"} 1`,
		`letterlock_delivery_bytes_total 17`,
		`letterlock_log_commits_total{result="ok",writer="owner"} 2`, // the delivery to an open account, too
		`letterlock_log_replay_entries_count `,
		`letterlock_store_requests_total{kind="body",op="create",result="ok"} 1`,
		`letterlock_accounts_open 1`,
		`letterlock_inboxes 1`,
		`letterlock_password_derivations_total `,
		`letterlock_password_waiting 0`,
	} {
		assert.Contains(t, text, "\n"+line)
	}
}
