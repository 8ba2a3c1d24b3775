//go:build !windows

package diskblob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhatIsReadSurvives: the writer is killed between giving an object its name
// and the fsync of the folder. Whoever reads the object relies on it.
func TestWhatIsReadSurvives(t *testing.T) {
	d, root := newDisk(t)
	writer, reader := d.open(root), d.open(root)
	syncs := func(op, path string) error {
		if op == "sync" && path == "store/a" {
			return syscall.EIO
		}
		return nil
	}
	d.fail = syncs
	require.ErrorIs(t, writer.Create(t.Context(), "a/x", strings.NewReader("x")), syscall.EIO)
	require.Error(t, d.survives(filepath.Join(root, "a/x")))

	_, err := reader.Open(t.Context(), "a/x", 0, -1)
	require.ErrorIs(t, err, syscall.EIO)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "open a/x: fsync of the folder: input/output error")

	d.fail = nil
	d.took()
	open := func(s *Store, name string) {
		t.Helper()
		r, err := s.Open(t.Context(), name, 0, -1)
		require.NoError(t, err)
		require.NoError(t, d.survives(filepath.Join(root, name)))
		require.NoError(t, r.Close())
	}
	open(reader, "a/x")
	require.Equal(t, []string{"sync store/a"}, d.took())
	open(reader, "a/x")
	require.Empty(t, d.took(), "it is known now")
	require.NoError(t, reader.Create(t.Context(), "a/y", strings.NewReader("y")))
	d.took()
	open(reader, "a/y")
	require.Empty(t, d.took(), "who created it knows it from the start")
	require.ErrorIs(t, writer.Create(t.Context(), "a/y", strings.NewReader("z")), fs.ErrExist)
	d.took()
	open(writer, "a/y")
	require.Empty(t, d.took(), "so does who was told that the name is taken")
}

// TestReadersRaceWriters: whatever a reader gets hold of survives, at any moment.
func TestReadersRaceWriters(t *testing.T) {
	d, root := newDisk(t)
	var wg sync.WaitGroup
	const names = 30
	for range 2 {
		writer, reader := d.open(root), d.open(root)
		wg.Go(func() {
			for i := range names {
				if err := writer.Create(t.Context(), fmt.Sprintf("a/%02d", i), strings.NewReader("x")); err != nil {
					assert.ErrorIs(t, err, fs.ErrExist)
				}
			}
		})
		wg.Go(func() {
			for i := 0; i < names; {
				name := fmt.Sprintf("a/%02d", i)
				r, err := reader.Open(t.Context(), name, 0, -1)
				if errors.Is(err, fs.ErrNotExist) && !t.Failed() {
					continue
				}
				if !assert.NoError(t, err) || !assert.NoError(t, d.survives(filepath.Join(root, name))) {
					return
				}
				assert.NoError(t, r.Close())
				i++
			}
		})
	}
	wg.Wait()
}

// TestSettled says when a name needs no fsync to be read.
func TestSettled(t *testing.T) {
	now := time.Now()
	s := newSettled()
	require.True(t, s.has("a/x", now.Add(-settledAfter-time.Second)), "old enough")
	require.False(t, s.has("a/x", now))
	require.False(t, s.has("a/x", now.Add(time.Hour)), "from the future")
	s.folder("a", now.Add(-time.Second))
	require.True(t, s.has("a/x", now.Add(-4*time.Second)), "there when the folder was synced")
	require.False(t, s.has("a/x", now.Add(-2*time.Second)), "perhaps not yet")
	require.False(t, s.has("b/x", now.Add(-4*time.Second)), "in another folder")
	require.True(t, s.since("a", now.Add(-2*time.Second)))
	require.False(t, s.since("a", now.Add(-time.Second)))
	require.False(t, s.since("b", now.Add(-2*time.Second)))
	s.folder("b", now.Add(-time.Minute))
	require.True(t, s.has("b/x", now.Add(-90*time.Second)))
	s.name("a/x")
	require.True(t, s.has("a/x", now))
	s.forget("a/x")
	require.False(t, s.has("a/x", now))
	for i := range maxOwn + 1 {
		s.name(fmt.Sprint("c/", i))
	}
	require.Len(t, s.own, maxOwn)
	require.False(t, s.has("c/0", now))
	require.True(t, s.has("c/1", now))
	for i := range maxSynced + 1 {
		s.folder(fmt.Sprint(i), now)
	}
	require.Len(t, s.synced, maxSynced)
}

// TestReadersShareASync: a reader that catches up on many entries at once does not
// sync the folder for each.
func TestReadersShareASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, root := newDisk(t)
		writer, reader := d.open(root), d.open(root)
		const names = 32
		for i := range names {
			require.NoError(t, writer.Create(t.Context(), fmt.Sprintf("a/%02d", i), strings.NewReader("x")))
		}
		d.took()
		reader.settled.turn <- struct{}{} // another reader is at work
		var wg sync.WaitGroup
		for i := range names {
			wg.Go(func() {
				r, err := reader.Open(t.Context(), fmt.Sprintf("a/%02d", i), 0, -1)
				if assert.NoError(t, err) {
					assert.NoError(t, r.Close())
				}
			})
		}
		synctest.Wait()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := reader.Open(gone, "a/00", 0, -1)
		require.ErrorIs(t, err, context.Canceled)
		time.Sleep(time.Second)
		<-reader.settled.turn
		wg.Wait()
		require.Equal(t, []string{"sync store/a"}, d.took())
	})
}
