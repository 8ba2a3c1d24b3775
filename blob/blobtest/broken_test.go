package blobtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/blob/blobtest"
	"github.com/letterlock/letterlock/blob/memblob"
)

// broken are stores that break one promise each, and the case of the suite that
// must notice.
var broken = map[string]struct {
	notices string
	open    func() (a, b blob.Store)
}{
	"two-storages":        {"Lifecycle", func() (a, b blob.Store) { return memblob.New(), memblob.New() }},
	"overwrites":          {"Taken", same(func(s *spoilt) { s.create = overwrite })},
	"unmatched-taken":     {"Taken", same(func(s *spoilt) { s.create = unmatchedTaken })},
	"check-then-act":      {"RacingCreates", same(func(s *spoilt) { s.create = checkThenAct })},
	"open-bad-name":       {"AwkwardNames", same(func(s *spoilt) { s.open = openBadName })},
	"delete-stops":        {"AwkwardNames", same(func(s *spoilt) { s.delete = deleteStops })},
	"long-names":          {"OddButValidNames", same(func(s *spoilt) { s.create = shortNames })},
	"delete-folder":       {"Folders", same(func(s *spoilt) { s.delete = deleteFolder })},
	"stat-folder":         {"Folders", same(func(s *spoilt) { s.stat = statFolder })},
	"none-is-all":         {"Ranges", same(func(s *spoilt) { s.open = noneIsAll })},
	"beyond-the-end":      {"Ranges", same(func(s *spoilt) { s.open = beyondTheEnd })},
	"truncates":           {"BigAndEmpty", same(func(s *spoilt) { s.create = truncate })},
	"folder-order":        {"ListOrder", same(func(s *spoilt) { s.list = folderOrder })},
	"after-is-included":   {"ListOrder", same(func(s *spoilt) { s.list = afterIncluded })},
	"prefix-is-folder":    {"ListOrder", same(func(s *spoilt) { s.list = prefixIsFolder })},
	"one-page":            {"ListMany", same(func(s *spoilt) { s.list = onePage })},
	"missing-is-error":    {"Delete", same(func(s *spoilt) { s.delete = missingIsError })},
	"reopens":             {"DeleteWhileReading", same(func(s *spoilt) { s.open = reopen })},
	"grows-in-sight":      {"WholeOrNothing", same(func(s *spoilt) { s.create = growInSight })},
	"empty-read-is-end":   {"ReaderShapes", same(func(s *spoilt) { s.create = emptyReadIsEnd })},
	"keeps-half":          {"FailingReader", same(func(s *spoilt) { s.create = keepHalf })},
	"hides-reader-error":  {"FailingReader", same(func(s *spoilt) { s.create = hideError })},
	"blocked-is-complete": {"BlockedReader", same(func(s *spoilt) { s.create = deafCreate })},
	"deaf-create":         {"CancelledContext", same(func(s *spoilt) { s.create = deafCreate })},
	"deaf-delete":         {"CancelledContext", same(func(s *spoilt) { s.delete = deafDelete })},
	"deaf-list":           {"CancelledList", same(func(s *spoilt) { s.list = deafList })},
}

// TestBroken runs the suite on each broken store, in a process of its own because
// it must fail there.
func TestBroken(t *testing.T) {
	const which = "BLOBTEST_BROKEN"
	if name := os.Getenv(which); name != "" {
		blobtest.Run(t, func(*testing.T) (a, b blob.Store) { return broken[name].open() })
		return
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestBroken$/^"+b.notices+"$", "-test.timeout=30s")
			cmd.Env = append(os.Environ(), which+"="+name)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "the suite does not notice:\n%s", out)
			assert.Contains(t, string(out), "--- FAIL: TestBroken/"+b.notices)
			assert.NotContains(t, string(out), "panic:")
		})
	}
}

// spoilt is a memblob.Store of which a test replaces a method.
type spoilt struct {
	*memblob.Store
	create func(s *memblob.Store, ctx context.Context, name string, r io.Reader) error
	open   func(s *memblob.Store, ctx context.Context, name string, off, n int64) (io.ReadCloser, error)
	stat   func(s *memblob.Store, ctx context.Context, name string) (blob.Info, error)
	list   func(s *memblob.Store, ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error]
	delete func(s *memblob.Store, ctx context.Context, names ...string) error
}

func same(spoil func(*spoilt)) func() (a, b blob.Store) {
	return func() (a, b blob.Store) {
		s := &spoilt{Store: memblob.New()}
		spoil(s)
		return s, s
	}
}

func (s *spoilt) Create(ctx context.Context, name string, r io.Reader) error {
	if s.create == nil {
		return s.Store.Create(ctx, name, r)
	}
	return s.create(s.Store, ctx, name, r)
}

func (s *spoilt) Open(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if s.open == nil {
		return s.Store.Open(ctx, name, off, n)
	}
	return s.open(s.Store, ctx, name, off, n)
}

func (s *spoilt) Stat(ctx context.Context, name string) (blob.Info, error) {
	if s.stat == nil {
		return s.Store.Stat(ctx, name)
	}
	return s.stat(s.Store, ctx, name)
}

func (s *spoilt) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	if s.list == nil {
		return s.Store.List(ctx, prefix, after)
	}
	return s.list(s.Store, ctx, prefix, after)
}

func (s *spoilt) Delete(ctx context.Context, names ...string) error {
	if s.delete == nil {
		return s.Store.Delete(ctx, names...)
	}
	return s.delete(s.Store, ctx, names...)
}

func overwrite(s *memblob.Store, ctx context.Context, name string, r io.Reader) error {
	if err := s.Delete(ctx, name); err != nil {
		return err
	}
	return s.Create(ctx, name, r)
}

func unmatchedTaken(s *memblob.Store, ctx context.Context, name string, r io.Reader) error {
	err := s.Create(ctx, name, r)
	if errors.Is(err, fs.ErrExist) {
		return errors.New("create " + name + ": taken")
	}
	return err
}

// checkThenAct looks first and creates later; whoever was in between loses.
func checkThenAct(s *memblob.Store, ctx context.Context, name string, r io.Reader) error {
	if _, err := s.Stat(ctx, name); err == nil {
		return s.Create(ctx, name, r)
	}
	for range 100 {
		runtime.Gosched()
	}
	if err := s.Create(ctx, name, r); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func openBadName(s *memblob.Store, ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if blob.CheckName(name) != nil {
		return nil, fs.ErrNotExist
	}
	return s.Open(ctx, name, off, n)
}

func deleteStops(s *memblob.Store, ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := s.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func shortNames(s *memblob.Store, ctx context.Context, name string, r io.Reader) error {
	if len(name) > 255 {
		return errors.New("create " + name + ": name too long")
	}
	return s.Create(ctx, name, r)
}

func deleteFolder(s *memblob.Store, ctx context.Context, names ...string) error {
	for _, name := range names {
		if blob.CheckName(name) != nil {
			continue
		}
		for info := range s.List(ctx, name+"/", "") {
			if err := s.Delete(ctx, info.Name); err != nil {
				return err
			}
		}
	}
	return s.Delete(ctx, names...)
}

func statFolder(s *memblob.Store, ctx context.Context, name string) (blob.Info, error) {
	for range s.List(ctx, name+"/", "") {
		return blob.Info{Name: name}, nil
	}
	return s.Stat(ctx, name)
}

func noneIsAll(s *memblob.Store, ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if n == 0 {
		n = -1
	}
	return s.Open(ctx, name, off, n)
}

func beyondTheEnd(s *memblob.Store, ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if info, err := s.Stat(ctx, name); err == nil && off >= info.Size && info.Size > 0 {
		return nil, errors.New("open " + name + ": range not satisfiable")
	}
	return s.Open(ctx, name, off, n)
}

func truncate(s *memblob.Store, ctx context.Context, name string, r io.Reader) error {
	return s.Create(ctx, name, io.LimitReader(r, 8<<20))
}

func collect(s *memblob.Store, ctx context.Context, prefix, after string) (infos []blob.Info) {
	for info := range s.List(ctx, prefix, after) {
		infos = append(infos, info)
	}
	return infos
}

func all(infos []blob.Info) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, info := range infos {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// folderOrder lists as one walks a tree of folders by their names.
func folderOrder(s *memblob.Store, ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	infos := collect(s, ctx, prefix, after)
	slices.SortFunc(infos, func(a, b blob.Info) int {
		return slices.Compare(strings.Split(a.Name, "/"), strings.Split(b.Name, "/"))
	})
	return all(infos)
}

func afterIncluded(s *memblob.Store, ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	infos := collect(s, ctx, prefix, after)
	if info, err := s.Stat(ctx, after); err == nil && strings.HasPrefix(after, prefix) {
		infos = append([]blob.Info{info}, infos...)
	}
	return all(infos)
}

func prefixIsFolder(s *memblob.Store, ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return s.List(ctx, prefix, after)
}

func onePage(s *memblob.Store, ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	infos := collect(s, ctx, prefix, after)
	return all(infos[:min(1000, len(infos))])
}

func missingIsError(s *memblob.Store, ctx context.Context, names ...string) error {
	for _, name := range names {
		if _, err := s.Stat(ctx, name); err != nil {
			return err
		}
	}
	return s.Delete(ctx, names...)
}

// reopen reads by name at every Read.
func reopen(s *memblob.Store, ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	if _, err := s.Open(ctx, name, off, n); err != nil {
		return nil, err
	}
	return &reopening{s: s, ctx: ctx, name: name, off: off, n: n}, nil
}

type reopening struct {
	s      *memblob.Store
	ctx    context.Context
	name   string
	off, n int64
}

func (r *reopening) Read(p []byte) (int, error) {
	rc, err := r.s.Open(r.ctx, r.name, r.off, r.n)
	if err != nil {
		return 0, err
	}
	n, err := rc.Read(p)
	r.off += int64(n)
	if r.n >= 0 {
		r.n -= int64(n)
	}
	return n, err
}

func (r *reopening) Close() error { return nil }

// growInSight shows what it has so far.
func growInSight(s *memblob.Store, ctx context.Context, name string, r io.Reader) error {
	head := make([]byte, 1000)
	n, err := io.ReadFull(r, head)
	if n < len(head) {
		return s.Create(ctx, name, io.MultiReader(bytes.NewReader(head[:n]), &ending{err}))
	}
	if err := s.Create(ctx, name, bytes.NewReader(head)); err != nil {
		return err
	}
	rest, err := io.ReadAll(r)
	if err := errors.Join(err, s.Delete(ctx, name)); err != nil {
		return err
	}
	return s.Create(ctx, name, bytes.NewReader(append(head, rest...)))
}

// ending is a reader without bytes.
type ending struct{ err error }

func (e *ending) Read([]byte) (int, error) {
	if e.err == io.ErrUnexpectedEOF {
		return 0, io.EOF
	}
	return 0, e.err
}

func emptyReadIsEnd(s *memblob.Store, ctx context.Context, name string, r io.Reader) error {
	return s.Create(ctx, name, readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if n == 0 && err == nil {
			err = io.EOF
		}
		return n, err
	}))
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// keepHalf stores what it got of a reader that failed.
func keepHalf(s *memblob.Store, ctx context.Context, name string, r io.Reader) error {
	data, readErr := io.ReadAll(r)
	if err := s.Create(ctx, name, bytes.NewReader(data)); err != nil {
		return err
	}
	return readErr
}

func hideError(s *memblob.Store, ctx context.Context, name string, r io.Reader) error {
	err := s.Create(ctx, name, r)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return errors.New("create " + name + ": failed")
	}
	return err
}

// deafCreate does not look at its context.
func deafCreate(s *memblob.Store, _ context.Context, name string, r io.Reader) error {
	return s.Create(context.Background(), name, r)
}

func deafDelete(s *memblob.Store, _ context.Context, names ...string) error {
	return s.Delete(context.Background(), names...)
}

// deafList looks at its context before the first name only.
func deafList(s *memblob.Store, ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	var once sync.Once
	return func(yield func(blob.Info, error) bool) {
		var err error
		once.Do(func() { err = ctx.Err() })
		if err != nil {
			yield(blob.Info{}, err)
			return
		}
		s.List(context.Background(), prefix, after)(yield)
	}
}
