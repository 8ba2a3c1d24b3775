package cacheblob

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tempAge is how old a file that nobody finished must be to be a dead process's.
const tempAge = time.Hour

// add notes bytes that were added, and looks through the folder when they are many.
func (s *Store) add(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.added += n
	if s.added < s.size/16 || s.trimming || s.closed {
		return
	}
	s.added, s.trimming = 0, true
	s.trims.Go(func() {
		s.trim()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.trimming = false
	})
}

// trim removes the files that were not used for longest, until the rest leaves room
// for what is added until the next time.
func (s *Store) trim() {
	type old struct {
		path string
		size int64
		time time.Time
	}
	var files []old
	total := int64(0)
	filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what vanishes meanwhile needs no removing
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return nil
		}
		if strings.HasPrefix(d.Name(), tempPrefix) {
			if time.Since(info.ModTime()) > tempAge {
				os.Remove(path)
			}
			return nil
		}
		if !s.mine(path) {
			return nil
		}
		files = append(files, old{path, info.Size(), info.ModTime()})
		total += info.Size()
		return nil
	})
	slices.SortFunc(files, func(a, b old) int { return cmp.Or(a.time.Compare(b.time), cmp.Compare(a.path, b.path)) })
	for _, f := range files {
		if total <= s.size-s.size/16 {
			return
		}
		if os.Remove(f.path) == nil {
			total -= f.size
		}
	}
}

// mine reports whether a file is one of the cache's: somebody may have named a
// folder in which other things are.
func (s *Store) mine(path string) bool {
	rel, err := filepath.Rel(s.dir, path)
	folder, name := filepath.Split(rel)
	hash, text, ok := strings.Cut(name, "-")
	_, isSpan := parseSpan(text)
	return err == nil && len(folder) == 4 && len(hash) == 40 && ok && isSpan && strings.Trim(folder[:3]+hash, "0123456789abcdef") == ""
}
