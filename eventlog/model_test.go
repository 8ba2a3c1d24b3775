package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/eventlog"
)

// TestModel runs several Committers, each through a store of its own that fails,
// loses answers, is slow, and stands still for days at random, with snapshots and
// trimming by all of them, against the plainest model there is: a set of what was
// acknowledged. Nothing acknowledged may be missing or there twice, nothing
// refused may be there, and all must agree in the end.
func TestModel(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	var stats modelStats
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { runModel(t, uint64(seed), &stats) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%+v", stats)
	// It proves nothing if the interesting things did not happen.
	assert.Greater(t, stats.Acknowledged, 20*seeds)
	for what, n := range map[string]int{"unknown outcomes": stats.Unknown, "refused": stats.Refused, "entries trimmed": stats.Trimmed} {
		assert.Positive(t, n, what)
	}
}

type modelStats struct{ Acknowledged, Unknown, Refused, Snapshots, Trimmed int }

// modelRun is one random run.
type modelRun struct {
	*world
	seed  uint64
	stats *modelStats

	mu      sync.Mutex // protects what follows
	acked   map[string]eventlog.Position
	unknown map[string]bool
	refused map[string]bool
}

func runModel(t *testing.T, seed uint64, stats *modelStats) {
	const processes, callers, each = 4, 2, 8
	w := newWorld(t)
	w.begin(0)
	m := &modelRun{
		world: w, seed: seed, stats: stats,
		acked: map[string]eventlog.Position{}, unknown: map[string]bool{}, refused: map[string]bool{},
	}
	var wg sync.WaitGroup
	for p := range processes {
		faulty := blobtest.NewFaulty(w.mem, nil)
		l := w.handle(faulty)
		c := eventlog.NewCommitter(l, eventlog.Model[list](listModel{}), eventlog.CommitterOptions[list]{})
		require.NoError(t, c.Open(t.Context()))
		faulty.SetPlan(m.plan(uint64(p)))
		for i := range callers {
			rng := rand.New(rand.NewPCG(seed, uint64(100*p+i)))
			name := fmt.Sprintf("%d/%d", p, i)
			wg.Go(func() {
				for j := range each {
					m.step(rng, c, l, fmt.Sprintf("%s/%d", name, j))
				}
			})
		}
		defer faulty.SetPlan(nil)
	}
	wg.Wait()
	m.verify()
}

// plan returns faults at random, a few per cent of each kind.
func (m *modelRun) plan(process uint64) blobtest.Plan {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(m.seed, 1000+process))
	return func(op blobtest.Op, name string, _ int) blobtest.Fault {
		mu.Lock()
		dice, delay := rng.IntN(200), time.Duration(rng.IntN(20))*time.Millisecond
		mu.Unlock()
		time.Sleep(delay)
		switch {
		case dice < 6:
			return blobtest.Fault{Before: blobtest.ErrInjected}
		case dice < 12 || op == blobtest.OpCreate && dice < 30:
			return blobtest.Fault{After: blobtest.ErrInjected}
		case dice == 199:
			// The world stands still for all: what was under way is now old.
			m.clock.advance(30 * time.Hour)
		case dice == 198 && op == blobtest.OpCreate:
			time.Sleep(10 * time.Second) // this writer stands still, others do not
		}
		return blobtest.Fault{}
	}
}

func (m *modelRun) step(rng *rand.Rand, c *eventlog.Committer[list], l *eventlog.Log, record string) {
	ctx := m.t.Context()
	switch rng.IntN(8) {
	case 0:
		c.CatchUp(ctx)
	case 1:
		s, head := c.State()
		if err := l.WriteSnapshot(ctx, head, s.encode()); err == nil {
			m.count(&m.stats.Snapshots, 1)
		}
	case 2:
		report, _ := l.Trim(ctx)
		m.count(&m.stats.Trimmed, report.Entries)
	case 3:
		s, head := c.State()
		c.Rebase(ctx, head, s)
	}
	if rng.IntN(6) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(60))*time.Millisecond)
		defer cancel()
	}
	head, err := c.Commit(ctx, write(record))
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		m.acked[record] = head.Pos
	case errors.Is(err, eventlog.ErrUnknownOutcome) || errors.Is(err, context.DeadlineExceeded):
		m.unknown[record] = true
	default:
		if !errors.Is(err, blobtest.ErrInjected) {
			m.t.Errorf("commit %s: %v", record, err)
		}
		m.refused[record] = true
	}
}

func (m *modelRun) count(n *int, by int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*n += by
}

func (m *modelRun) verify() {
	t := m.t
	c := m.committer(nil, eventlog.CommitterOptions[list]{})
	s, _ := c.State()
	found := map[string]eventlog.Position{}
	for i, r := range s.records {
		assert.NotContains(t, found, r, "seed %d: %s is there twice", m.seed, r)
		found[r] = s.at[i]
		if i > 0 {
			assert.GreaterOrEqual(t, s.at[i], s.at[i-1])
		}
	}
	for r, at := range m.acked {
		assert.Equal(t, at, found[r], "seed %d: acknowledged %s", m.seed, r)
	}
	for r := range m.refused {
		assert.NotContains(t, found, r, "seed %d: refused", m.seed)
	}
	// A frozen writer that never woke may have left a stray; nothing worse.
	err := m.handle(nil).Check(t.Context(), func(p eventlog.Problem) {
		assert.NotErrorIs(t, p.Err, eventlog.ErrCorrupt)
	})
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	m.stats.Acknowledged += len(m.acked)
	m.stats.Unknown += len(m.unknown)
	m.stats.Refused += len(m.refused)
}
