package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run this seed alone, with its story if -v is given")
	seedsFlag = flag.Int("seeds", 0, "how many seeds TestSeeds runs (default $LETTERLOCK_SIM_SEEDS, or 60)")
	fromFlag  = flag.Uint64("from", 1, "the first seed of TestSeeds")
	lines     = flag.Int("story", 400, "how many lines of a failing seed's story are shown")
)

// found are the seeds that found a bug, and what it was. They stay, though what a
// seed does changes with the simulator.
var found = []struct {
	seed uint64
	what string
}{
	{1, "a process that stood still fails for ever: pages that its state stands on were collected"},
	{60592, "a process that is moved onto a snapshot fails: it stood still, and that was collected too"},
	{70091, "a collection that stood still says that a snapshot is damaged, which was superseded"},
	{738, "an account does not open: its identity was changed twice while sessions of the first went on"},
}

// TestSeed runs one seed again.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("give one with -seed")
	}
	r := runSeed(t, *seedFlag)
	if testing.Verbose() && !t.Failed() {
		r.print(os.Stdout, *lines)
	}
	t.Logf("seed %d: %d turns, story %016x", *seedFlag, r.turns, r.hash)
}

// TestFoundSeeds runs those that found something once.
func TestFoundSeeds(t *testing.T) {
	for _, f := range found {
		t.Run(fmt.Sprint(f.seed), func(t *testing.T) {
			t.Parallel()
			runSeed(t, f.seed)
		})
	}
}

// TestSeeds runs as many seeds as asked for, and asserts that enough happened in
// them for the result to mean something.
func TestSeeds(t *testing.T) {
	if *seedFlag != 0 {
		t.Skip("one seed was asked for")
	}
	seeds := *seedsFlag
	if seeds == 0 {
		seeds = defaultSeeds
		if text := os.Getenv("LETTERLOCK_SIM_SEEDS"); text != "" {
			var err error
			seeds, err = strconv.Atoi(text)
			require.NoError(t, err)
		}
	}
	sum := map[string]int{}
	var mu sync.Mutex
	began := time.Now()
	const parts = 8
	t.Run("run", func(t *testing.T) {
		for part := range parts {
			t.Run(fmt.Sprint(part), func(t *testing.T) {
				t.Parallel()
				for i := part; i < seeds && !t.Failed(); i += parts {
					r := runSeed(t, *fromFlag+uint64(i))
					mu.Lock()
					r.sum(sum)
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d seeds in %v: %s", seeds, time.Since(began).Round(time.Millisecond), table(sum))
	// It proves nothing if the interesting things did not happen.
	often := []string{
		"append done", "append unknown", "append refused", "deliver done", "deliver unknown", "deliver refused", "store done",
		"move done", "copy done", "expunge done", "change done", "create done", "delete done", "told", "crashes", "freezes",
		"days of standing still", "failed", "lost answers", "late effects", "traps", "read", "marked objects", "objects erased in the end", "snapshots", "trimmed entries", "linearizable",
		"rotate done", "logins by password", "changes completed or found by a login", "tokens tried in the end",
	}
	seldom := []string{"move unknown", "copy unknown", "expunge unknown", "store unknown", "change unknown", "change lost", "strays", "days", "collected objects",
		"rotate unknown", "rotate refused", "changes in the end", "logins by token", "tokens refused",
	}
	if seeds >= 50 {
		for _, what := range often {
			assert.Positive(t, sum[what], "%q never happened", what)
		}
	}
	if seeds >= 500 {
		for _, what := range seldom {
			assert.Positive(t, sum[what], "%q never happened", what)
		}
		assert.Less(t, sum["undecided"]*100, seeds, "histories that could not be decided in time")
	}
}

// TestReplay runs seeds twice and counts how many tell the same story.
func TestReplay(t *testing.T) {
	if *seedFlag != 0 {
		t.Skip("one seed was asked for")
	}
	const seeds = replaySeeds
	same := 0
	for seed := range uint64(seeds) {
		a, b := runSeed(t, 1000+seed), runSeed(t, 1000+seed)
		if a.hash == b.hash {
			same++
		} else if testing.Verbose() {
			for i := range a.story {
				if i >= len(b.story) || a.story[i] != b.story[i] {
					t.Logf("seed %d: differs at line %d of %d: %s", 1000+seed, i, len(a.story), a.story[i])
					break
				}
			}
		}
	}
	t.Logf("%d of %d seeds told the same story twice", same, seeds)
	if seeds >= 10 {
		assert.Greater(t, same, seeds/2, "a seed that fails must be worth running again")
	}
}

// runSeed runs one seed in a bubble of its own.
func runSeed(t *testing.T, seed uint64) *world {
	t.Helper()
	tmpl := newTemplate(t)
	w := &world{
		t: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 0)), count: map[string]int{}, archive: &archive{},
	}
	failed := t.Failed() // by another seed
	defer func() {
		if failed || !t.Failed() {
			return
		}
		var story strings.Builder
		w.print(&story, *lines)
		t.Logf("seed %d: run it again with\n\tgo test ./internal/sim -run 'TestSeed$' -seed %d\n%s", seed, seed, story.String())
	}()
	synctest.Test(t, func(t *testing.T) { // ends the test if it fails
		w.t = t
		w.arrive = make(chan struct{}, 1)
		w.profile = newProfile(w.rnd)
		start := tmpl.starts[w.rnd.IntN(len(tmpl.starts))]
		w.mem, w.archive.objects = start.blobs.Clone(), start.blobs.Clone()
		w.jump = start.age
		w.ledger = &ledger{
			w: w, places: map[place]mailbox.EmailID{}, folders: map[mailbox.MailboxID]uint32{},
			validity: map[uint32]mailbox.MailboxID{}, outcomes: map[string]int{},
		}
		w.pool = crypto.NewPool(crypto.PoolOptions{}) // one of another bubble would not do
		w.notebook = &notebook{w: w, secrets: []*secret{{password: firstPassword, identity: tmpl.identity, outcome: done}}}
		if rnd := rand.New(rand.NewPCG(seed, 1)); rnd.IntN(5) == 0 {
			w.profile.rotate = 3 + rnd.IntN(4) // by a generator of its own: other runs stay what they were
		}
		for id, at := range start.messages {
			w.ledger.add(id, at)
		}
		v := &verifier{w: w, start: start}
		v.run()
	})
	w.t = t
	if err := w.ledger.linearizable(w.first.uids, w.first.register); err == nil {
		w.count["linearizable"]++
	} else if err == errUndecided {
		w.count["undecided"]++
	} else {
		t.Errorf("seed %d: %v", seed, err)
	}
	return w
}

// template is what runs begin with.
type template struct {
	identity *crypto.Identity
	starts   []*start
}

// start is a store with an account, and what is in it.
type start struct {
	blobs    *memblob.Store
	age      time.Duration // how far the clock went while it was made
	messages map[string]standing
	uids     map[string]mailbox.UID // UIDNEXT of each folder
	register register
}

// newTemplate makes the stores that runs begin with, once: an account's keys are
// the costly part. One has a log without a snapshot; one a snapshot and a tail for
// which the next logout will write another; one a tail that outweighs its snapshot
// soon.
var newTemplate = func() func(t *testing.T) *template {
	var once sync.Once
	var tmpl template
	return func(t *testing.T) *template {
		once.Do(func() { synctest.Test(t, func(t *testing.T) { tmpl.make(t) }) })
		require.Len(t, tmpl.starts, 3, "the template was not made")
		return &tmpl
	}
}()

func (tmpl *template) make(t *testing.T) {
	ctx := t.Context()
	blobs := memblob.New()
	began := time.Now()
	o := mailbox.Options{
		PollInterval: -1,
		Password:     passwordParams,
	}
	s, err := mailbox.Open(ctx, blobs, o)
	require.NoError(t, err)
	require.NoError(t, s.CreateAccount(ctx, user, []byte(firstPassword)))
	a, err := s.Login(ctx, user, []byte(firstPassword))
	require.NoError(t, err)
	text, err := a.Recovery()
	require.NoError(t, err)
	tmpl.identity, err = crypto.ParseIdentity(text)
	require.NoError(t, err)
	for _, f := range folders[1:] {
		require.NoError(t, a.Create(ctx, f))
	}
	messages := map[string]standing{}
	for i := range 3 {
		id := fmt.Sprintf("old-%d", i+1)
		at, err := a.Append(ctx, mailbox.Inbox, strings.NewReader(letter(id)), mailbox.AppendOptions{})
		require.NoError(t, err)
		messages[id] = standing{mailbox.Inbox, at.UID, ""}
	}
	keep := func() {
		st := &start{blobs: blobs.Clone(), age: time.Since(began), messages: messages, uids: map[string]mailbox.UID{}}
		for _, f := range folders {
			v, err := a.Select(ctx, f, true)
			require.NoError(t, err)
			st.uids[f] = v.UIDNext()
			if f == mailbox.Inbox {
				for m, err := range v.Messages(ctx, mailbox.UIDs(registerUID)) {
					require.NoError(t, err)
					st.register = register{flagText(m.Flags()), true, m.ModSeq}
				}
			}
		}
		tmpl.starts = append(tmpl.starts, st)
	}
	toggle := func(times int) {
		v, err := a.Select(ctx, mailbox.Inbox, false)
		require.NoError(t, err)
		for i := range times {
			op := []mailbox.FlagOp{mailbox.FlagsAdd, mailbox.FlagsRemove}[i%2]
			_, err := v.Store(ctx, mailbox.UIDs(2), op, []string{"$mine"}, mailbox.StoreOptions{})
			require.NoError(t, err)
		}
	}
	keep()
	toggle(40)
	require.NoError(t, a.Close())
	require.NoError(t, s.Close()) // after the snapshot
	s, err = mailbox.Open(ctx, blobs, o)
	require.NoError(t, err)
	a, err = s.OpenAccount(ctx, user, tmpl.identity)
	require.NoError(t, err)
	toggle(28)
	keep()
	toggle(80)
	keep()
	// Without a last snapshot: the store is not used any more.
	n := 0
	for info, err := range tmpl.starts[2].blobs.List(ctx, "acct/", "") {
		require.NoError(t, err)
		if strings.Contains(info.Name, "/snap/") {
			n++
		}
	}
	require.Equal(t, 1, n, "snapshots in the template")
	require.NoError(t, a.Close())
	require.NoError(t, s.Close())
}
