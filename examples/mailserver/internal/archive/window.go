package archive

import (
	"io"
	"os"
	"slices"
)

// windowNames is how many names of files are in memory at a time. A folder with
// more is read more than once.
const windowNames = 16 << 10

// names calls each for the names of all files of a folder, in no order.
func names(dir string, each func(name string)) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		some, err := f.Readdirnames(1024)
		for _, name := range some {
			each(name)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// smallest keeps the first n strings, in byte order, of those after a string.
type smallest struct {
	n     int
	after string
	kept  []string
	full  bool   // more were offered than are kept
	most  string // the greatest that is kept, if full
}

func (s *smallest) offer(x string) {
	if x <= s.after || s.full && x >= s.most {
		return
	}
	s.kept = append(s.kept, x)
	if len(s.kept) >= 2*s.n {
		s.cut()
	}
}

func (s *smallest) cut() {
	slices.Sort(s.kept)
	if len(s.kept) > s.n {
		clear(s.kept[s.n:])
		s.kept = s.kept[:s.n]
		s.full, s.most = true, s.kept[s.n-1]
	}
}

// sorted returns them in order.
func (s *smallest) sorted() []string {
	s.cut()
	return s.kept
}
