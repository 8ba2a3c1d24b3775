package sim

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
)

// world is one run: the store, the processes, and the scheduler, who is the only
// one to draw from the seed while the run goes on.
type world struct {
	t       *testing.T
	seed    uint64
	rnd     *rand.Rand
	profile profile
	mem     *memblob.Store
	archive *archive
	ledger  *ledger

	notebook *notebook
	pool     *crypto.Pool
	first    *start
	procs    []*process
	clients  sync.WaitGroup
	closers  sync.WaitGroup // what closes the processes that died
	arrive   chan struct{}  // something may have changed while the scheduler waits

	mu       sync.Mutex // protects what follows; nobody waits while it is held
	waiting  []*turn
	late     []*turn // effects of calls that were answered with an error
	jump     time.Duration
	era      *process // whose client lets a day go by; the others fall into a trap
	rotating *process // changes the identity; nil if none does
	calm     bool     // no more faults and disasters
	done     bool
	story    []string
	hash     uint64
	turns    int
	count    map[string]int
}

// turn is something that waits for its turn.
type turn struct {
	key     string // who wants what; the same in each run of a seed
	inst    *instance
	act     func()        // runs in the scheduler
	lasting bool          // act may take effect after the caller is gone
	resume  chan struct{} // closed when fault is set
	fault   error         // in place of the answer
	gone    bool          // the caller does not wait any more
}

const (
	badTurns = 12_000 // after these all goes well
	maxTurns = 80_000 // after these the run is taken for one that does not end
)

// submit lets t wait for its turn.
func (w *world) submit(t *turn) {
	w.mu.Lock()
	w.waiting = append(w.waiting, t)
	w.mu.Unlock()
	w.wake()
}

func (w *world) wake() {
	select {
	case w.arrive <- struct{}{}:
	default:
	}
}

// tell adds a line to the run's story. Called with the mutex.
func (w *world) tell(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", w.hash, line)
	w.hash = h.Sum64()
	w.story = append(w.story, line)
}

// run gives turns until the run is over.
func (w *world) run() {
	for {
		synctest.Wait()
		w.mu.Lock()
		if w.done {
			w.mu.Unlock()
			return
		}
		if w.turns++; w.turns > maxTurns {
			w.mu.Unlock()
			w.t.Errorf("seed %d: the run does not end", w.seed)
			w.t.FailNow()
		}
		pause, idle := w.step()
		w.mu.Unlock()
		switch {
		case idle:
			<-w.arrive
		case pause > 0:
			time.Sleep(pause)
		}
	}
}

// step gives one turn, or says how long all wait. Called with the mutex.
func (w *world) step() (pause time.Duration, idle bool) {
	if !w.calm {
		w.disaster()
	}
	w.bury()
	slices.SortStableFunc(w.waiting, func(a, b *turn) int { return cmp.Compare(a.key, b.key) })
	var ready []*turn
	for _, t := range w.waiting {
		if !t.inst.frozen() {
			ready = append(ready, t)
		}
	}
	if len(ready) == 0 {
		if w.thawOne() {
			return 0, false
		}
		return 0, true
	}
	if w.dice(w.profile.slow) {
		return time.Duration(1+w.rnd.IntN(40)) * time.Millisecond, false
	}
	if len(w.late) > 0 && w.rnd.IntN(8) == 0 {
		w.landLate()
	}
	t := ready[w.rnd.IntN(len(ready))]
	i := slices.Index(w.waiting, t)
	w.waiting = slices.Delete(w.waiting, i, i+1)
	t.act()
	return 0, false
}

// dice is true in so many of a thousand cases, but never when it is calm or the run
// is long: where one in twenty reads fails for ever no account is opened any more.
func (w *world) dice(perMille int) bool {
	return !w.calm && w.turns < badTurns && w.rnd.IntN(1000) < perMille
}

// landLate lets one late effect happen.
func (w *world) landLate() {
	i := w.rnd.IntN(len(w.late))
	t := w.late[i]
	w.late = slices.Delete(w.late, i, i+1)
	w.tell("%s: takes effect late", t.key)
	w.count["late effects"]++
	t.act()
}

// bury takes out what nobody waits for any more: calls that were cancelled. They
// may be on their way all the same.
func (w *world) bury() {
	var gone []*turn
	w.waiting = slices.DeleteFunc(w.waiting, func(t *turn) bool {
		if t.gone {
			gone = append(gone, t)
		}
		return t.gone
	})
	slices.SortStableFunc(gone, func(a, b *turn) int { return cmp.Compare(a.key, b.key) })
	for _, t := range gone {
		w.tell("%s: given up", t.key)
		if t.lasting && !w.calm && w.rnd.IntN(2) == 0 {
			w.late = append(w.late, t)
		}
	}
}

// disaster lets one happen, rarely.
func (w *world) disaster() {
	if w.dice(w.profile.crash) {
		w.crash(w.procs[w.rnd.IntN(len(w.procs))])
	}
	if w.dice(w.profile.freeze) {
		w.freeze(w.procs[w.rnd.IntN(len(w.procs))])
	}
	if w.era != nil {
		w.trap()
	}
	if w.rotating != nil {
		w.interrupt()
	}
	for _, p := range w.procs {
		if i := p.inst; i != nil && i.frozenFor > 0 {
			if i.frozenFor--; i.frozenFor == i.jumpAt && i.jumpAt > 0 {
				w.jump += time.Duration(1+w.rnd.IntN(40)) * time.Hour
				w.tell("the clocks stand at +%v", w.jump)
				w.count["days of standing still"]++
			}
			if i.frozenFor == 0 {
				w.tell("%s goes on", i.name)
				close(i.thaw)
			}
		}
	}
}

// crash kills a process. What it had under way takes effect, at once or later, or
// does not; nobody is told.
func (w *world) crash(p *process) {
	i := p.inst
	if i == nil || i.dead {
		return
	}
	w.tell("%s dies", i.name)
	w.count["crashes"]++
	if i.frozenFor > 0 {
		i.frozenFor = 0
		close(i.thaw)
	}
	i.dead = true
	close(i.died)
	p.inst = nil
	slices.SortStableFunc(w.waiting, func(a, b *turn) int { return cmp.Compare(a.key, b.key) })
	w.waiting = slices.DeleteFunc(w.waiting, func(t *turn) bool {
		if t.inst != i || !t.lasting {
			return false // it finds its process dead by itself
		}
		switch w.rnd.IntN(3) {
		case 0:
			w.tell("%s: takes effect all the same", t.key)
			t.act()
		case 1:
			w.late = append(w.late, t)
		}
		return true
	})
}

// freeze lets a process stand still for a while: no call of it is made or
// answered. In half of the cases the machine was suspended for hours meanwhile.
func (w *world) freeze(p *process) {
	i := p.inst
	if i == nil || i.dead || i.frozenFor > 0 {
		return
	}
	i.frozenFor = 10 + w.rnd.IntN(400)
	i.thaw = make(chan struct{})
	i.jumpAt = 0
	if w.rnd.IntN(2) == 0 {
		i.jumpAt = 1 + w.rnd.IntN(i.frozenFor)
	}
	w.tell("%s stands still", i.name)
	w.count["freezes"]++
}

// interrupt lets a process die or stand still in the middle of a change of
// identity, some times.
func (w *world) interrupt() {
	p := w.rotating
	if w.dice(4) {
		if w.rnd.IntN(2) == 0 {
			w.crash(p)
		} else {
			w.freeze(p)
		}
	}
}

// trap lets each process but one stand still at the moment when it creates an
// entry, as long as that one's day lasts.
func (w *world) trap() {
	for _, t := range w.waiting {
		i := t.inst
		if strings.Contains(t.key, " create log/") && i.proc != w.era && !i.dead && i.frozenFor == 0 && w.rnd.IntN(2) == 0 {
			i.frozenFor, i.jumpAt, i.thaw, i.trapped = maxTurns, 0, make(chan struct{}), true
			w.tell("%s stands still before it creates an entry", i.name)
			w.count["traps"]++
		}
	}
}

// day begins a day of a process, if there is none, or ends it.
func (w *world) day(p *process, begin bool) bool {
	defer w.wake() // the scheduler may have found nothing to do
	w.mu.Lock()
	defer w.mu.Unlock()
	if begin {
		if w.era != nil || w.calm {
			return false
		}
		w.era = p
		w.tell("the day of %s begins", p.name)
		return true
	}
	w.era = nil
	w.tell("the day of %s ends", p.name)
	for _, p := range w.procs {
		if i := p.inst; i != nil && i.trapped && i.frozenFor > 0 {
			i.frozenFor, i.trapped = 1+w.rnd.IntN(20), false
		}
	}
	return true
}

// hours lets the clocks of all jump.
func (w *world) hours(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jump += time.Duration(n) * time.Hour
	w.tell("the clocks stand at +%v", w.jump)
}

// thawOne ends the standing still of a process where nobody else has anything to
// do.
func (w *world) thawOne() bool {
	for _, p := range w.procs {
		if i := p.inst; i != nil && i.frozenFor > 0 && !(i.trapped && w.era != nil) {
			if i.jumpAt > 0 && i.frozenFor > i.jumpAt {
				w.jump += 30 * time.Hour
			}
			i.frozenFor = 0
			w.tell("%s goes on, for want of others", i.name)
			close(i.thaw)
			return true
		}
	}
	return false
}

// print writes the end of the run's story.
func (w *world) print(out io.Writer, lines int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := max(0, len(w.story)-lines)
	for n, line := range w.story[from:] {
		fmt.Fprintf(out, "%5d %s\n", from+n, line)
	}
}

// sum adds what happened in a run to all that happened.
func (w *world) sum(to map[string]int) {
	for what, n := range w.count {
		to[what] += n
	}
	for what, n := range w.ledger.outcomes {
		to[what] += n
	}
	to["turns"] += w.turns
	to["password derivations"] += int(w.pool.Stats().Started)
}

// table prints counts.
func table(counts map[string]int) string {
	var out strings.Builder
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&out, "\n%8d %s", counts[what], what)
	}
	return out.String()
}

// now is the wall clock of all processes.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.jump)
}

// profile is how bad the times are in one run.
type profile struct {
	fault, late, lost, slow, crash, freeze int // in a thousand
	eras, rotate                           int // in a hundred steps of a client
}

func newProfile(rnd *rand.Rand) profile {
	p := profile{slow: []int{20, 100, 300}[rnd.IntN(3)]}
	if rnd.IntN(5) > 0 {
		p.fault = []int{5, 20, 60}[rnd.IntN(3)]
		p.lost = []int{10, 50, 150}[rnd.IntN(3)]
		p.late = []int{0, 10, 40}[rnd.IntN(3)]
	}
	if rnd.IntN(2) == 0 {
		p.crash = 1 + rnd.IntN(5)
	}
	if rnd.IntN(3) > 0 {
		p.freeze = 2 + rnd.IntN(6)
	}
	if rnd.IntN(2) == 0 {
		p.eras = 5
	}
	return p
}
