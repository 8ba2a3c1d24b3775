package natsbus_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/examples/natsbus"
	"github.com/letterlock/letterlock/mailbox"
)

// serve runs a server of NATS on a free port until the test ends.
func serve(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	require.NoError(t, err)
	go s.Start()
	require.True(t, s.ReadyForConnections(time.Minute))
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// open returns the accounts of blobs as a process of its own would have them. It
// looks into the store for wakes once an hour.
func open(t *testing.T, blobs *memblob.Store, url string) *mailbox.Store {
	t.Helper()
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	s, err := mailbox.Open(t.Context(), blobs, mailbox.Options{
		Bus: natsbus.New(conn, "letterlock.wake"), PollInterval: time.Hour,
		Password: crypto.PasswordParams{Time: 1, Memory: 36 << 10, Threads: 1},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func login(t *testing.T, s *mailbox.Store) *mailbox.Account {
	t.Helper()
	a, err := s.Login(t.Context(), "ann", []byte("secret"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

// TestBus: what one process writes, a session that waits in another is told by
// NATS, within 50 ms and mostly much sooner.
func TestBus(t *testing.T) {
	url := serve(t).ClientURL()
	blobs := memblob.New()
	one, two := open(t, blobs, url), open(t, blobs, url)
	require.NoError(t, one.CreateAccount(t.Context(), "ann", []byte("secret")))
	writes, waits := login(t, one), login(t, two)
	v, err := waits.Select(t.Context(), mailbox.Inbox, false)
	require.NoError(t, err)
	watch := waits.Watch()
	defer watch.Close()
	var took []time.Duration
	for n := 1; n <= 41; n++ {
		mail := strings.NewReader("Subject: wake up\r\n\r\nIt is time.\r\n")
		if n%2 == 0 {
			require.NoError(t, one.Deliver(t.Context(), []mailbox.Recipient{{Account: "ann"}}, mail)[0])
		} else {
			_, err := writes.Append(t.Context(), mailbox.Inbox, mail, mailbox.AppendOptions{})
			require.NoError(t, err)
		}
		began := time.Now()
		for v.Len() < n {
			select {
			case <-watch.C:
			case <-time.After(time.Minute):
				require.FailNow(t, "the session is not told", "of mail %d", n)
			}
			_, err := v.Sync(t.Context(), false)
			require.NoError(t, err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("told after %v in the middle, %v at most", took[len(took)/2], took[len(took)-1])
	require.Less(t, took[len(took)/2], 50*time.Millisecond)
}

// TestNoServer: a bus that does not answer is an error when the store is opened.
func TestNoServer(t *testing.T) {
	s := serve(t)
	conn, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	conn.Close()
	_, err = mailbox.Open(t.Context(), memblob.New(), mailbox.Options{Bus: natsbus.New(conn, "letterlock.wake")})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}
