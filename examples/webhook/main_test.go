package main

import (
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox"
)

// A post becomes a mail, whose header it cannot write.
func TestPostBecomesMail(t *testing.T) {
	ctx := t.Context()
	store, err := mailbox.Open(ctx, memblob.New(), mailbox.Options{MaxMessage: 1000})
	require.NoError(t, err)
	defer store.Close()
	require.NoError(t, store.CreateAccount(ctx, "ann", []byte("secret")))
	account, err := store.Login(ctx, "ann", []byte("secret"))
	require.NoError(t, err)
	defer account.Close()
	require.NoError(t, account.Create(ctx, "Alerts"))
	server := httptest.NewServer(&hook{
		store: store, from: "webhook@localhost", token: sha256.Sum256([]byte("token")),
		now: func() time.Time { return time.Unix(0, 0).UTC() },
	})
	defer server.Close()
	post := func(path, token, kind, body string) int {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	assert.Equal(t, http.StatusUnauthorized, post("/ann", "wrong", "", "x"))
	assert.Equal(t, http.StatusNotFound, post("/bob", "token", "", "x"))
	assert.Equal(t, http.StatusRequestEntityTooLarge, post("/ann", "token", "", strings.Repeat("x", 1001)))
	assert.Equal(t, http.StatusCreated, post("/ann/alerts?subject=H%C3%A4%0d%0aBcc:%20x", "token", "", "It works.\r\n"))
	assert.Equal(t, http.StatusCreated, post("/ann", "token", "application/json", "{}"))

	view, err := account.Select(ctx, "Alerts", true)
	require.NoError(t, err)
	for m, err := range view.Messages(ctx, mailbox.All()) {
		require.NoError(t, err)
		r, err := m.Open(ctx, 0, -1)
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, "From: webhook@localhost\r\nSubject: =?utf-8?q?H=C3=A4=0D=0ABcc:_x?=\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n"+
			"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: binary\r\n\r\nIt works.\r\n", string(text))
	}
	require.Equal(t, 1, view.Len())
	status, err := account.Status(ctx, mailbox.Inbox)
	require.NoError(t, err)
	require.Equal(t, 1, status.Messages)
	require.Error(t, run(ctx, t.TempDir(), "127.0.0.1:0", "", ""))
}
