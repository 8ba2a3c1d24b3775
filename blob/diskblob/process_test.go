//go:build linux || darwin

package diskblob_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/diskblob"
)

// The environment of a child process: the test binary, run again.
const (
	childRole = "DISKBLOB_TEST_ROLE"
	childDir  = "DISKBLOB_TEST_DIR"
	childID   = "DISKBLOB_TEST_ID"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childRole) {
	case "":
		os.Exit(m.Run())
	case "create":
		childCreate()
	case "race":
		childRace()
	}
}

// child starts a child process; it is killed, and waited for, when t ends.
func child(t *testing.T, role, dir string, id int) (cmd *exec.Cmd, in io.WriteCloser, out *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir, childID+"="+strconv.Itoa(id))
	cmd.Stderr = os.Stderr
	in, err = cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, in, bufio.NewScanner(stdout)
}

// childStore opens the store that a child was told.
func childStore() (*diskblob.Store, int) {
	s, err := diskblob.Open(os.Getenv(childDir), nil)
	if err != nil {
		panic(err)
	}
	id, err := strconv.Atoi(os.Getenv(childID))
	if err != nil {
		panic(err)
	}
	return s, id
}

// contents is what a child writes under a name: the name, over and over, so that
// any part that lacks can be told.
func contents(name string) []byte {
	return append(bytes.Repeat([]byte(name+"\n"), 4000), '.')
}

// childCreate creates objects until it is killed and writes each name once it was
// acknowledged. One Create never ends, so that there is something left behind.
func childCreate() {
	s, id := childStore()
	pr, pw := io.Pipe()
	go s.Create(noContext, fmt.Sprintf("stuck/%d", id), pr)
	if _, err := pw.Write(make([]byte, 100_000)); err != nil {
		panic(err)
	}
	fmt.Println("stuck")
	var out sync.Mutex
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("p%d/g%d/%d/%d", id, g, i/5, i)
				if err := s.Create(noContext, name, bytes.NewReader(contents(name))); err != nil {
					panic(err)
				}
				out.Lock()
				fmt.Println(name)
				out.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestKill: a process killed at any moment leaves no half object, takes no
// acknowledged name with it, and what it leaves is gone after the next Open,
// while a living process keeps what it is writing.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	temps := func() int {
		entries, err := os.ReadDir(filepath.Join(dir, ".tmp"))
		require.NoError(t, err)
		return len(entries)
	}
	living, err := diskblob.Open(dir, nil)
	require.NoError(t, err)
	pr, pw := io.Pipe()
	finished := make(chan error, 1)
	go func() { finished <- living.Create(t.Context(), "living", pr) }()
	_, err = pw.Write([]byte("first "))
	require.NoError(t, err)

	var acknowledged []string
	for round := range 6 {
		cmd, _, out := child(t, "create", dir, round)
		require.True(t, out.Scan())
		require.Equal(t, "stuck", out.Text())
		for n := 0; n < 10+7*round; n++ {
			require.True(t, out.Scan(), "the child ended by itself")
			acknowledged = append(acknowledged, out.Text())
		}
		_, err := diskblob.Open(dir, nil)
		require.NoError(t, err)
		require.GreaterOrEqual(t, temps(), 2, "the temporary files of living processes stay")
		require.NoError(t, cmd.Process.Kill())
		for out.Scan() { // acknowledged before the kill, read after it
			if strings.Count(out.Text(), "/") == 3 {
				acknowledged = append(acknowledged, out.Text())
			}
		}
		cmd.Wait()
		require.GreaterOrEqual(t, temps(), 2, "nothing was left behind, so nothing is tested")
		_, err = diskblob.Open(dir, nil)
		require.NoError(t, err)
		require.Equal(t, 1, temps(), "what dead processes left is gone, what the living one writes is not")
	}
	_, err = pw.Write([]byte("second"))
	require.NoError(t, err)
	require.NoError(t, pw.Close())
	require.NoError(t, <-finished)
	require.Zero(t, temps())

	s := open(t, dir, nil)
	listed := map[string]bool{}
	for info, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		listed[info.Name] = true
		want := contents(info.Name)
		if info.Name == "living" {
			want = []byte("first second")
		}
		require.Equal(t, string(want), string(readAll(t, s, info.Name)))
	}
	require.Greater(t, len(acknowledged), 150)
	for _, name := range acknowledged {
		require.True(t, listed[name], "%s was acknowledged and is gone", name)
	}
}

const raceNames = 60

// childRace waits for its input to end, tries to create all names, and writes
// those that it won.
func childRace() {
	s, id := childStore()
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	for i := range raceNames {
		name := fmt.Sprintf("race/%d/%d", i/10, i)
		err := s.Create(noContext, name, strings.NewReader(strconv.Itoa(id)))
		switch {
		case err == nil:
			fmt.Println(name)
		case !errors.Is(err, fs.ErrExist):
			panic(err)
		}
	}
	fmt.Println("done")
}

// TestProcessesRace: of many processes one wins each name, and its bytes are
// there.
func TestProcessesRace(t *testing.T) {
	dir := t.TempDir()
	const processes = 5
	var ins []io.Closer
	var outs []*bufio.Scanner
	for id := range processes {
		_, in, out := child(t, "race", dir, id)
		require.True(t, out.Scan())
		ins, outs = append(ins, in), append(outs, out)
	}
	for _, in := range ins {
		require.NoError(t, in.Close())
	}
	winner := map[string]int{}
	for id, out := range outs {
		for out.Scan() && out.Text() != "done" {
			require.NotContains(t, winner, out.Text(), "two winners")
			winner[out.Text()] = id
		}
		require.Equal(t, "done", out.Text())
	}
	require.Len(t, winner, raceNames)
	s := open(t, dir, nil)
	for name, id := range winner {
		require.Equal(t, strconv.Itoa(id), string(readAll(t, s, name)), name)
	}
}
