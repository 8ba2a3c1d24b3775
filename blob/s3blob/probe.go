package s3blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// probeRacers is how many try to create one name at once.
const probeRacers = 4

// cleanTime is how long a probe that failed tries to remove its objects.
const cleanTime = 5 * time.Second

// probe finds out whether the server keeps what the store promises, on objects
// in a folder of their own that it removes. It reports whether the server keeps
// the condition, and fails if it breaks another promise.
func (s *Store) probe(ctx context.Context) (conditional bool, err error) {
	p := &probe{ctx: ctx, s: s.below(privateFolder + "probe-" + strings.ToLower(rand.Text()) + "/")}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
			defer cancel()
			p.s.Delete(ctx, p.made...) // its error would hide the first one
		}
	}()
	for _, step := range []struct {
		promise string
		run     func() error
	}{
		{"a missing object is reported as missing", p.absent},
		{"a name is given once", p.once},
		{"of several who create a name at once one wins", p.race},
		{"what was created can be read, also in part", p.read},
		{"objects are listed in the order of their names, at once, and from any name on", p.list},
		{"what was deleted is gone at once", p.remove},
	} {
		if err := step.run(); err != nil {
			return false, fmt.Errorf("probe: %s: %w", step.promise, err)
		}
	}
	return p.s.conditional, nil
}

// below returns a store of the objects in a folder of this one, that lists two
// names at a time.
func (s *Store) below(folder string) *Store {
	return &Store{
		client: s.client, bucket: s.bucket, prefix: s.prefix + folder, partSize: s.partSize, stall: s.stall,
		patience: s.patience, tempDir: s.tempDir, places: s.places, conditional: true, pageSize: 2,
		names: nameLocks{held: map[string]*nameLock{}},
	}
}

type probe struct {
	ctx  context.Context
	s    *Store
	made []string
}

const (
	probeOnce = "once"
	probeRace = "race"
	probeData = "0123456789"
)

// probeNames are in the order of bytes, which is not that of a walk through
// folders.
var probeNames = []string{"x-y", "x.y", "x/y", "x0"}

func (p *probe) create(name, data string) error {
	if !slices.Contains(p.made, name) {
		p.made = append(p.made, name)
	}
	return p.s.Create(p.ctx, name, strings.NewReader(data))
}

// absent comes first: an answer that a proxy keeps would be seen later.
func (p *probe) absent() error {
	for _, name := range []string{probeOnce, probeNames[0]} {
		_, err := p.s.Stat(p.ctx, name)
		if err == nil {
			return errors.New("the server knows an object that nobody made")
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return p.lists("", "")
}

// once creates a name twice.
func (p *probe) once() error {
	err := p.create(probeOnce, "first")
	if has(err, "NotImplemented") || hasStatus(err, http.StatusNotImplemented) {
		p.s.conditional = false
		return p.create(probeOnce, "first")
	}
	if err != nil {
		return err
	}
	err = p.create(probeOnce, "second")
	switch {
	case err == nil:
		p.s.conditional = false
		return nil
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	return p.holds(probeOnce, 0, -1, "first")
}

func (p *probe) race() error {
	if !p.s.conditional {
		return nil // known already
	}
	p.made = append(p.made, probeRace)
	var wg sync.WaitGroup
	errs := make([]error, probeRacers)
	for i := range errs {
		wg.Go(func() { errs[i] = p.s.Create(p.ctx, probeRace, strings.NewReader(fmt.Sprint(i))) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, fs.ErrExist):
			return err
		}
	}
	if won != 1 {
		return fmt.Errorf("%d of %d won: %w", won, probeRacers, ErrNotConditional)
	}
	return nil
}

func (p *probe) read() error {
	for _, name := range probeNames {
		if err := p.create(name, probeData); err != nil {
			return err
		}
	}
	name := probeNames[0]
	return errors.Join(
		p.holds(name, 0, -1, probeData),
		p.holds(name, 3, 4, probeData[3:7]),
		p.holds(name, 8, -1, probeData[8:]),
		p.holds(name, 8, 100, probeData[8:]),
		p.holds(name, 100, 1, ""),
	)
}

func (p *probe) holds(name string, off, n int64, want string) error {
	r, err := p.s.Open(p.ctx, name, off, n)
	if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, []byte(want)) {
		return fmt.Errorf("%d bytes of %s from %d on are others than were written", n, name, off)
	}
	return nil
}

func (p *probe) list() error {
	all := slices.Sorted(slices.Values(p.made))
	return errors.Join(
		p.lists("", "", all...),
		p.lists("x", "", probeNames...),
		p.lists("x", probeNames[1], probeNames[2:]...),
		p.lists("x/", "", probeNames[2]),
	)
}

func (p *probe) lists(prefix, after string, want ...string) error {
	var got []string
	for info, err := range p.s.List(p.ctx, prefix, after) {
		if err != nil {
			return err
		}
		got = append(got, info.Name)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("prefix %q after %q lists %q, want %q", prefix, after, got, want)
	}
	return nil
}

func (p *probe) remove() error {
	if err := p.s.Delete(p.ctx, p.made...); err != nil {
		return err
	}
	if err := p.s.Delete(p.ctx, p.made[0]); err != nil {
		return fmt.Errorf("again: %w", err)
	}
	if _, err := p.s.Stat(p.ctx, probeNames[0]); err == nil {
		return errors.New("it is still there")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return p.lists("", "")
}
