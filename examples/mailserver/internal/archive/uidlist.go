package archive

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Dovecot's dovecot-uidlist says which file of a Maildir has which UID. Its first
// line has a version, then in version 3 "V" and UIDVALIDITY, "N" and UIDNEXT, in
// version 1 the two numbers alone. A line for each message follows: the UID, in
// version 3 fields of a letter and a value, ":" and the file's name, which may have
// lost its flags.

const uidListName = "dovecot-uidlist"

var errUIDList = errors.New("not a list of UIDs")

// uidList is a list that is read line by line.
type uidList struct {
	f              *os.File
	r              *bufio.Reader
	version        int
	validity, next uint32
	last           uint32
}

// openUIDList opens a folder's list, or returns nil if it has none.
func openUIDList(dir string) (*uidList, error) {
	f, err := os.Open(filepath.Join(dir, uidListName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l := &uidList{f: f, r: bufio.NewReaderSize(f, 64<<10)}
	line, err := l.line()
	if err == nil {
		err = l.header(line)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return l, nil
}

func (l *uidList) Close() error { return l.f.Close() }

// line returns the next line without its end.
func (l *uidList) line() (string, error) {
	b, err := l.r.ReadSlice('\n')
	if err == io.EOF && len(b) > 0 {
		err = nil
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		err = errUIDList
	}
	return strings.TrimRight(string(b), "\r\n"), err
}

func (l *uidList) header(line string) error {
	f := strings.Fields(line)
	if len(f) < 3 {
		return errUIDList
	}
	switch f[0] {
	case "1":
		l.version, l.validity, l.next = 1, number(f[1]), number(f[2])
	case "3":
		l.version = 3
		for _, field := range f[1:] {
			switch field[0] {
			case 'V':
				l.validity = number(field[1:])
			case 'N':
				l.next = number(field[1:])
			}
		}
	}
	if l.version == 0 || l.validity == 0 {
		return errUIDList
	}
	return nil
}

// number reads a UID or UIDVALIDITY; 0 if it is none.
func number(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// listed is a line of the list.
type listed struct {
	uid  uint32
	base string // the file's name without flags
}

// entry returns the next line, or io.EOF. Lines that are none, or out of order,
// are passed over: their files count as not listed.
func (l *uidList) entry() (listed, error) {
	for {
		line, err := l.line()
		if err != nil {
			return listed{}, err
		}
		uid, rest, ok := strings.Cut(line, " ")
		if ok && l.version == 3 {
			if rest, ok = strings.CutPrefix(rest, ":"); !ok {
				_, rest, ok = strings.Cut(rest, " :")
			}
		}
		base, _ := splitInfo(rest)
		if n := number(uid); ok && n > l.last && base != "" {
			l.last = n
			return listed{n, base}, nil
		}
	}
}

// infoSeparators are what comes before "2," and the flags in the name of a Maildir's
// file. Where a name must not have ":", programs and mounts write something else: ";"
// or "!", an escape, or Cygwin's and Samba's letter for it.
var infoSeparators = []string{":", ";", "!", "%3A", "%3a", "\uf03a"}

// splitInfo splits the name of a Maildir's file into what stays the same and the
// letters of its flags.
func splitInfo(name string) (base, letters string) {
	for _, sep := range infoSeparators {
		i := strings.LastIndex(name, sep+"2,")
		if i < 0 {
			continue
		}
		letters, _, _ = strings.Cut(name[i+len(sep)+2:], ",")
		if strings.Trim(letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == "" {
			return name[:i], letters
		}
	}
	base, _, _ = strings.Cut(name, ":")
	return base, ""
}

// nameSum stands for a file's name in memory.
type nameSum [12]byte

func sumOf(base string) nameSum {
	sum := sha256.Sum256([]byte(base))
	return nameSum(sum[:12])
}

type nameSums []nameSum

func (s nameSums) has(base string) bool {
	x := sumOf(base)
	_, ok := slices.BinarySearchFunc(s, x, compareSums)
	return ok
}

func compareSums(a, b nameSum) int { return bytes.Compare(a[:], b[:]) }

// listedNames returns which files a folder's list has, as far as it can be read: to
// io.EOF.
func listedNames(dir string) (nameSums, error) {
	l, err := openUIDList(dir)
	if l == nil || err != nil {
		return nil, err
	}
	defer l.Close()
	var sums nameSums
	for {
		e, err := l.entry()
		if err != nil {
			slices.SortFunc(sums, compareSums)
			return sums, err
		}
		sums = append(sums, sumOf(e.base))
	}
}

// readKeywords reads dovecot-keywords: the keywords that the letters a to z stand
// for.
func readKeywords(dir string) (map[byte]string, error) {
	f, err := os.Open(filepath.Join(dir, "dovecot-keywords"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	words := map[byte]string{}
	s := bufio.NewScanner(io.LimitReader(f, 64<<10))
	for s.Scan() {
		n, word, ok := strings.Cut(s.Text(), " ")
		if i, err := strconv.Atoi(n); ok && err == nil && i >= 0 && i < 26 {
			words['a'+byte(i)] = word
		}
	}
	return words, s.Err()
}
