// Webhook turns HTTP posts into mail: whatever is posted to /ACCOUNT, or
// /ACCOUNT/FOLDER, becomes a message of that account, which any IMAP client shows.
// The process can add mail and read none: it has no secret of any account.
//
//	export WEBHOOK_TOKEN=...
//	webhook -store ./mail -listen 127.0.0.1:8025
//	curl -H "Authorization: Bearer $WEBHOOK_TOKEN" -d 'The backup is done.' \
//	    'http://127.0.0.1:8025/ann?subject=Backup'
//
// It is an example of delivery from a program of one's own. Put a server that
// speaks TLS in front of it.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"mime"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/letterlock/letterlock/blob/diskblob"
	"github.com/letterlock/letterlock/mailbox"
)

func main() {
	dir := flag.String("store", "", "the `folder` of the store")
	listen := flag.String("listen", "127.0.0.1:8025", "the `address` to listen on")
	from := flag.String("from", "webhook@localhost", "the `address` that mails come from")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *listen, *from, os.Getenv("WEBHOOK_TOKEN")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir, listen, from, token string) error {
	if token == "" {
		return errors.New("WEBHOOK_TOKEN is not set: anybody could post")
	}
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	blobs, err := diskblob.Open(dir, nil)
	if err != nil {
		return err
	}
	store, err := mailbox.Open(ctx, blobs, mailbox.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	server := &http.Server{
		Addr: listen, Handler: &hook{store: store, from: from, token: sha256.Sum256([]byte(token)), now: time.Now},
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 5 * time.Minute,
	}
	done := context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		server.Shutdown(last)
	})
	defer done()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// hook is the handler of posts.
type hook struct {
	store *mailbox.Store
	from  string
	token [sha256.Size]byte
	now   func() time.Time
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	given := sha256.Sum256([]byte(bearer))
	if subtle.ConstantTimeCompare(given[:], h.token[:]) != 1 {
		http.Error(w, "wrong token", http.StatusUnauthorized)
		return
	}
	if r.Method != http.MethodPost {
		http.Error(w, "want a POST", http.StatusMethodNotAllowed)
		return
	}
	account, folder, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	to := mailbox.Recipient{Account: account, Folder: folder, Prefix: h.header(r)}
	// A body is read as it comes, whatever its size: a post that breaks off is no
	// mail.
	err := h.store.Deliver(r.Context(), []mailbox.Recipient{to}, r.Body)[0]
	switch {
	case err == nil:
		w.WriteHeader(http.StatusCreated) // durable, and in the mailbox
	case errors.Is(err, mailbox.ErrNoAccount):
		http.Error(w, "no such account", http.StatusNotFound)
	case errors.Is(err, mailbox.ErrTooLarge):
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	default:
		log.Printf("delivery failed: %v", err) // no name, no content
		http.Error(w, "try again later", http.StatusServiceUnavailable)
	}
}

// header makes the header of the mail. What a post says of itself goes through
// encoders, so that it cannot add lines.
func (h *hook) header(r *http.Request) []byte {
	subject := r.URL.Query().Get("subject")
	if subject == "" {
		subject = "Webhook"
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind == "application/x-www-form-urlencoded" { // what curl -d says of any text
		kind, params = "text/plain", map[string]string{"charset": "utf-8"}
	}
	var b strings.Builder
	for _, field := range [][2]string{
		{"From", h.from},
		{"Subject", mime.QEncoding.Encode("utf-8", subject)},
		{"Date", h.now().Format(time.RFC1123Z)},
		{"MIME-Version", "1.0"},
		{"Content-Type", mime.FormatMediaType(kind, params)},
		{"Content-Transfer-Encoding", "binary"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", field[0], field[1])
	}
	io.WriteString(&b, "\r\n")
	return []byte(b.String())
}
