package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/s3blob/s3url"
)

// Environment variables of TestBucket: the URL of a real bucket; the same bucket
// by other endpoints, which may be left out; and how long servers are used and
// killed, such as 1m.
const (
	bucketURL  = "LETTERLOCK_S3_URL"
	bucketURL2 = "LETTERLOCK_S3_URL2"
	bucketURL3 = "LETTERLOCK_S3_URL3"
	bucketTime = "LETTERLOCK_S3_TIME"
)

// buckets returns three URLs of one new store.
func buckets(t *testing.T) [3]string {
	t.Helper()
	if os.Getenv(bucketURL) == "" {
		t.Skipf("to run three servers on a real bucket set %s=s3://bucket/prefix?endpoint=https://... and the credentials "+
			"as the SDK of AWS finds them (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY); .ci/s3 does so with versitygw", bucketURL)
	}
	id := fmt.Sprintf("/e2e-%08x", rand.Uint32())
	var urls [3]string
	for i, env := range []string{bucketURL, bucketURL2, bucketURL3} {
		text := os.Getenv(env)
		if text == "" {
			text = os.Getenv(bucketURL)
		}
		u, err := url.Parse(text)
		require.NoError(t, err)
		u.Path += id
		urls[i] = u.String()
	}
	t.Cleanup(func() {
		ctx := context.Background()
		s, err := s3url.Open(ctx, urls[0])
		require.NoError(t, err)
		var names []string
		for info, err := range s.List(ctx, "", "") {
			require.NoError(t, err)
			names = append(names, info.Name)
		}
		require.NoError(t, s.Delete(ctx, names...))
		require.NoError(t, s.Close())
	})
	return urls
}

// fate is what is known of a message: what was acknowledged must be so, and what
// was asked for when a server died may be.
type fate struct {
	there, flagged, moved          bool
	maybeThere, maybeFlag, maybeMv bool
}

// crowd is what all clients of the servers know together.
type crowd struct {
	written // of places and trouble
	fates   map[string]*fate
	servers [3]atomic.Pointer[server]
}

func (c *crowd) note(id string, change func(f *fate)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.fates[id]
	if f == nil {
		f = &fate{}
		c.fates[id] = f
	}
	change(f)
}

// Three servers on one bucket, in processes of their own. Mail comes in by LMTP to
// any of them; IMAP clients of all of them read, flag and move it at once; one is
// killed at random and started again. Nothing that was acknowledged is lost, all
// sessions end with the same picture, and UIDVALIDITY never moves.
func TestBucket(t *testing.T) {
	urls := buckets(t)
	lasting, err := time.ParseDuration(os.Getenv(bucketTime))
	if err != nil {
		lasting = 15 * time.Second
	}
	key := filepath.Join(t.TempDir(), "serverkey")
	must(t, password+"\n", "account", "add", "ann", "-store", urls[0], "-server-key", key)
	cache := t.TempDir()
	serve := func(i int) *server {
		return start(t, urls[i], "-server-key", key, "-cache", cache, "-cache-size", "64")
	}
	c := &crowd{fates: map[string]*fate{}}
	c.written = written{uids: map[string]string{}, validity: map[string]uint32{}}
	for i := range c.servers {
		c.servers[i].Store(serve(i))
	}
	require.NoError(t, dial(t, c.servers[0].Load().imap, nil).Create("Done", nil).Wait())

	ctx, cancel := context.WithTimeout(t.Context(), lasting)
	defer cancel()
	var work sync.WaitGroup
	for i := range 3 {
		work.Go(func() { c.deliverMail(ctx, fmt.Sprintf("lmtp-%d", i)) })
		work.Go(func() { c.changeMail(ctx, i, fmt.Sprintf("imap-%d", i)) })
	}
	watchers := []*watcher{newWatcher(t, c.servers[0].Load().imap), newWatcher(t, c.servers[1].Load().imap)}
	for _, v := range watchers {
		work.Go(func() { v.watch(ctx, &c.written) })
	}
	kills := 0
	for pause(ctx, 2*time.Second+rand.N(2*time.Second)) {
		c.servers[2].Load().kill(t)
		c.servers[2].Store(serve(2))
		kills++
	}
	work.Wait()
	for _, err := range c.errs {
		assert.NoError(t, err)
	}
	c.compareAll(t)
	fresh, _ := list(t, dial(t, c.servers[2].Load().imap, nil), "INBOX")
	for _, v := range watchers {
		v.compare(t, fresh)
	}
	t.Logf("%d messages in %v, while a server was killed %d times", len(c.fates), lasting, kills)
	require.Greater(t, len(c.fates), 20, "there was next to nothing to do")
	require.Positive(t, kills)
	c.idle(t)
	for i := range c.servers {
		c.servers[i].Load().stop(t)
	}
	out, errs, code := command(t, password+"\n", "check", "-store", urls[0], "-server-key", key, "-account", "ann")
	assert.Zero(t, code, "%s%s", out, errs)
}

// pause waits, and reports whether ctx has not ended meanwhile.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// deliverMail delivers one mail after the other, each to another server. A server
// that dies answers nothing: the mail may have been taken, and is not sent again.
func (c *crowd) deliverMail(ctx context.Context, tag string) {
	for n := 1; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%s-%d", tag, n)
		client, err := dialLMTP(ctx, c.servers[rand.N(3)].Load().lmtp)
		if err != nil {
			pause(ctx, 20*time.Millisecond) // it is being started again
			continue
		}
		c.note(id, func(f *fate) { f.maybeThere = true })
		if _, err := deliver(client, mail(id), "ann@example.org"); err == nil {
			c.note(id, func(f *fate) { f.there = true })
		}
		client.Close()
	}
}

// changeMail is the client of a server: it begins anew when the server died.
func (c *crowd) changeMail(ctx context.Context, i int, tag string) {
	for n := 1; ctx.Err() == nil; {
		client, err := imapclient.DialInsecure(c.servers[i].Load().imap, nil)
		if err == nil {
			n, err = c.session(ctx, client, tag, n)
			client.Close()
		}
		if err != nil && i != 2 {
			c.fail("%s: %w", tag, err)
			return
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// session adds messages from the n-th on, flags each second and moves each third,
// until ctx ends or the server dies. It returns how far it came.
func (c *crowd) session(ctx context.Context, client *imapclient.Client, tag string, n int) (int, error) {
	if err := client.Login("ann", password).Wait(); err != nil {
		return n, err
	}
	if _, err := client.Select("INBOX", nil).Wait(); err != nil {
		return n, err
	}
	for ; ctx.Err() == nil; n++ {
		if err := c.change(client, fmt.Sprintf("%s-%d", tag, n), n%2 == 0, n%3 == 0); err != nil {
			return n + 1, err
		}
	}
	return n, nil
}

func (c *crowd) change(client *imapclient.Client, id string, flag, move bool) error {
	c.note(id, func(f *fate) { f.maybeThere = true })
	uid, validity, err := appendMail(client, "INBOX", mail(id))
	if err != nil {
		return err
	}
	c.note(id, func(f *fate) { f.there = true })
	c.place("INBOX", validity, uid, id)
	if err := client.Noop().Wait(); err != nil {
		return err
	}
	if flag {
		c.note(id, func(f *fate) { f.maybeFlag = true })
		flags := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagFlagged, "$work"}}
		if err := client.Store(imap.UIDSetNum(uid), flags, nil).Close(); err != nil {
			return err
		}
		c.note(id, func(f *fate) { f.flagged = true })
	}
	if move {
		c.note(id, func(f *fate) { f.maybeMv = true })
		if _, err := client.Move(imap.UIDSetNum(uid), "Done").Wait(); err != nil {
			return err
		}
		c.note(id, func(f *fate) { f.moved = true })
		return nil
	}
	section := &imap.FetchItemBodySection{Peek: true}
	msgs, err := client.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		return err
	}
	if len(msgs) != 1 || string(msgs[0].FindBodySection(section)) != string(mail(id)) {
		c.fail("%s: is not read as it was added", id)
	}
	return nil
}

// compareAll asserts that all servers show the same, and that it is what the
// clients know.
func (c *crowd) compareAll(t *testing.T) {
	t.Helper()
	at := map[string]string{} // mailbox by ID
	for _, mailbox := range []string{"INBOX", "Done"} {
		var first []seen
		for i := range c.servers {
			got, validity := list(t, dial(t, c.servers[i].Load().imap, nil), mailbox)
			if was := c.validity[mailbox]; was != 0 {
				assert.Equal(t, was, validity, "UIDVALIDITY of %s", mailbox)
			}
			for j := range got {
				got[j].Flags = lasting(got[j].Flags)
			}
			if i > 0 {
				assert.Equal(t, first, got, "server %d shows another %s", i, mailbox)
				continue
			}
			first = got
			for _, m := range got {
				assert.Empty(t, at[m.ID], "%s is twice there", m.ID)
				at[m.ID] = mailbox
				c.compareOne(t, mailbox, m)
			}
		}
	}
	for id, f := range c.fates {
		assert.False(t, f.there && at[id] == "", "%s was acknowledged and is lost", id)
	}
}

func (c *crowd) compareOne(t *testing.T, mailbox string, m seen) {
	t.Helper()
	f := c.fates[m.ID]
	if !assert.NotNil(t, f, "nobody sent %s", m.ID) {
		return
	}
	done := mailbox == "Done"
	assert.False(t, f.moved && !done || done && !f.maybeMv, "%s is in %s", m.ID, mailbox)
	flagged := strings.Contains(fmt.Sprint(m.Flags), `\Flagged`)
	assert.False(t, f.flagged && !flagged || flagged && !f.maybeFlag, "%s has flags %v", m.ID, m.Flags)
	if id := c.uids[fmt.Sprintf("%s/%d", mailbox, m.UID)]; id != "" {
		assert.Equal(t, id, m.ID, "UID %d of %s", m.UID, mailbox)
	}
}

// idle asserts that a client that waits at one server is told of what comes in at
// another.
func (c *crowd) idle(t *testing.T) {
	t.Helper()
	told := make(chan struct{}, 16)
	client := dial(t, c.servers[1].Load().imap, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				told <- struct{}{}
			}
		},
	}})
	_, err := client.Select("INBOX", nil).Wait()
	require.NoError(t, err)
	idle, err := client.Idle()
	require.NoError(t, err)
	lmtp, err := dialLMTP(t.Context(), c.servers[0].Load().lmtp)
	require.NoError(t, err)
	defer lmtp.Close()
	_, err = deliver(lmtp, mail("wake-up"), "ann@example.org")
	require.NoError(t, err)
	began := time.Now()
	select {
	case <-told:
		t.Logf("a client that waits at another server is told after %v", time.Since(began).Round(10*time.Millisecond))
	case <-time.After(patience):
		assert.Fail(t, "the client is not told")
	}
	require.NoError(t, idle.Close())
	require.NoError(t, idle.Wait())
}
