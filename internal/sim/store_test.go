package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/blob"
)

var (
	errDead  = errors.New("the process is dead")
	errFault = errors.New("503: slow down")
	errFull  = fmt.Errorf("disk is full: %w", blob.ErrNotCreated)
)

// store is what one process sees of the storage. Each of its calls waits for its
// turn, and meets what the seed decides.
type store struct {
	w    *world
	inst *instance
}

var _ blob.Store = (*store)(nil)

type actorKey struct{}

// who names the client that a context belongs to.
func who(ctx context.Context) string {
	if name, ok := ctx.Value(actorKey{}).(string); ok {
		return name
	}
	return "background"
}

// plain is a name without what is random in it.
func plain(name string) string {
	folder, last := path.Split(name)
	switch {
	case strings.Contains(folder, "/log/") || strings.Contains(folder, "/snap/"):
		return path.Base(folder) + "/" + strings.TrimLeft(last, "0")
	case strings.HasPrefix(name, "acct/"):
		return path.Base(folder)
	}
	return strings.Trim(folder, "/")
}

// call lets do happen in a turn of its own, and perhaps its answer arrive in a
// later one. It returns the fault in place of the answer, if there is one.
func (s *store) call(ctx context.Context, op, name string, lasting bool, do func()) error {
	key := fmt.Sprintf("%s %s %s %s", s.inst.name, who(ctx), op, plain(name))
	resume := make(chan struct{})
	t := &turn{key: key, inst: s.inst, lasting: lasting, resume: resume}
	if lasting {
		do = once(do) // late effects happen once, also if the call was made
	}
	t.act = func() {
		if t.gone || s.inst.dead { // late, or its process died
			do()
			return
		}
		s.act(t, do)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.wait(ctx, t)
}

// act makes a call. Called in the scheduler.
func (s *store) act(t *turn, do func()) {
	w := s.w
	switch {
	case w.dice(w.profile.fault):
		w.tell("%s: fails", t.key)
		w.count["failed"]++
		t.fault = errFault
		if strings.Contains(t.key, " create ") && w.rnd.IntN(2) == 0 {
			t.fault = errFull
		}
	case t.lasting && w.dice(w.profile.late):
		w.tell("%s: fails for now", t.key)
		w.late = append(w.late, &turn{key: t.key, inst: t.inst, act: do})
		t.fault = errFault
	case t.lasting && w.dice(w.profile.lost):
		w.tell("%s: happens, and the answer is lost", t.key)
		w.count["lost answers"]++
		do()
		t.fault = errFault
	default:
		w.tell("%s", t.key)
		do()
	}
	if w.dice(300) {
		// The answer is on its way while others go on.
		w.waiting = append(w.waiting, &turn{
			key: t.key + ": answer", inst: t.inst, act: func() { close(t.resume) }, resume: t.resume,
		})
		return
	}
	close(t.resume)
}

// wait lets t have its turn, and waits for the answer.
func (s *store) wait(ctx context.Context, t *turn) error {
	w := s.w
	w.mu.Lock()
	dead := s.inst.dead
	w.mu.Unlock()
	if dead {
		return errDead
	}
	w.submit(t)
	for {
		select {
		case <-t.resume:
			return t.fault
		case <-s.inst.died:
			return errDead
		case <-ctx.Done():
		}
		w.mu.Lock()
		thaw := s.inst.thaw
		frozen := s.inst.frozenFor > 0
		w.mu.Unlock()
		if !frozen {
			return s.giveUp(ctx, t)
		}
		// One that stands still does not notice that its time is over. When it goes
		// on, the answer may be there already.
		select {
		case <-thaw:
		case <-s.inst.died:
			return errDead
		}
		if patient(t.key) {
			select {
			case <-t.resume:
				return t.fault
			case <-s.inst.died:
				return errDead
			}
		}
	}
}

// giveUp ends a call whose context ended.
func (s *store) giveUp(ctx context.Context, t *turn) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	select {
	case <-t.resume:
		return t.fault
	default:
	}
	t.gone = true
	return ctx.Err()
}

// patient decides by a coin that is the same in each run of a seed.
func patient(key string) bool {
	h := fnv.New32a()
	io.WriteString(h, key)
	return h.Sum32()&1 == 0
}

func once(do func()) func() {
	did := false
	return func() {
		if !did {
			did = true
			do()
		}
	}
}

// Create implements blob.Store.
func (s *store) Create(ctx context.Context, name string, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	var answer error
	fault := s.call(ctx, "create", name, true, func() {
		answer = s.w.mem.Create(context.Background(), name, bytes.NewReader(data))
		if answer == nil {
			s.w.archive.add(name, data)
		}
	})
	return answered("create", name, fault, &answer)
}

// answered returns the answer of a call that met no fault. If it met one, answer must
// not be looked at: the call may be still on its way.
func answered(op, name string, fault error, answer *error) error {
	if fault != nil {
		return fmt.Errorf("%s %s: %w", op, name, fault)
	}
	return *answer
}

// Open implements blob.Store.
func (s *store) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	var data []byte
	var answer, cut error
	fault := s.call(ctx, "open", name, false, func() {
		var r io.ReadCloser
		if r, answer = s.w.mem.Open(context.Background(), name, off, n); answer != nil {
			return
		}
		data, _ = io.ReadAll(r) // a memblob's
		if s.w.dice(s.w.profile.fault / 2) {
			s.w.tell("the reader of %s breaks", plain(name))
			data, cut = data[:s.w.rnd.IntN(len(data)+1)], errFault
		}
	})
	if err := answered("open", name, fault, &answer); err != nil {
		return nil, err
	}
	r := io.Reader(bytes.NewReader(data))
	if cut != nil {
		r = io.MultiReader(r, broken{})
	}
	return io.NopCloser(r), nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errFault }

// Stat implements blob.Store.
func (s *store) Stat(ctx context.Context, name string) (blob.Info, error) {
	var info blob.Info
	var answer error
	fault := s.call(ctx, "stat", name, false, func() { info, answer = s.w.mem.Stat(context.Background(), name) })
	if err := answered("stat", name, fault, &answer); err != nil {
		return blob.Info{}, err
	}
	return info, nil
}

// List implements blob.Store. It takes two turns. What came or went between them
// may be listed or not, each name for itself.
func (s *store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		var infos []blob.Info
		fault := s.call(ctx, "list", prefix+"x", false, func() { infos = s.all(prefix, after) })
		if fault == nil && patient(prefix+after) {
			fault = s.call(ctx, "list on", prefix+"x", false, func() { infos = s.blur(infos, s.all(prefix, after)) })
		}
		if fault != nil {
			yield(blob.Info{}, fmt.Errorf("list %s: %w", prefix, fault))
			return
		}
		for _, info := range infos {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (s *store) all(prefix, after string) []blob.Info {
	var infos []blob.Info
	for info := range s.w.mem.List(context.Background(), prefix, after) { // a memblob's
		infos = append(infos, info)
	}
	return infos
}

// blur returns what a listing that ran from one moment to another may show.
func (s *store) blur(before, after []blob.Info) []blob.Info {
	byName := func(a, b blob.Info) int { return strings.Compare(a.Name, b.Name) }
	var out []blob.Info
	for len(before)+len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && byName(before[0], after[0]) < 0:
			if s.w.rnd.IntN(2) == 0 {
				out = append(out, before[0])
			}
			before = before[1:]
		case len(before) == 0 || byName(before[0], after[0]) > 0:
			if s.w.rnd.IntN(2) == 0 {
				out = append(out, after[0])
			}
			after = after[1:]
		default:
			out = append(out, after[0])
			before, after = before[1:], after[1:]
		}
	}
	return out
}

// Delete implements blob.Store. One that fails, or is late, may remove some names
// at once and others later.
func (s *store) Delete(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		return nil
	}
	names = slices.Clone(names)
	var answer error
	fault := s.call(ctx, "delete", names[0], true, func() { answer = s.w.mem.Delete(context.Background(), names...) })
	return answered("delete", names[0], fault, &answer)
}
