package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// interval is how often the server's processes are looked at.
const interval = 50 * time.Millisecond

// ticks of CPU time a second: what Linux has told programs for decades.
const ticks = 100

// Sample is what the server's process tree had used at a time.
type Sample struct {
	At     float64 `json:"at"`     // seconds since the workload began
	CPU    float64 `json:"cpu"`    // seconds, user and system, children that ended included
	Memory int64   `json:"memory"` // bytes; see usage.memory
}

// usage is what a process tree uses.
type usage struct {
	cpu       float64
	processes int

	// memory is the private memory of all processes, and the pages of files (the
	// program, libraries) of the one that has most of them: processes of one
	// program share these.
	memory int64
}

// tree returns what a process and all that descend from it use. Processes that
// end while it looks are left out; that the first one is gone is an error.
func tree(pid int) (usage, error) {
	var u usage
	var files int64
	for i, p := range descendants(pid) {
		cpu, err := cpuOf(p)
		if err != nil {
			if i == 0 {
				return usage{}, err
			}
			continue
		}
		resident, shared, err := memoryOf(p)
		if err != nil {
			continue
		}
		u.cpu += cpu
		u.processes++
		u.memory += resident - shared
		files = max(files, shared)
	}
	u.memory += files
	return u, nil
}

// descendants returns pid and the processes below it.
func descendants(pid int) []int {
	pids := []int{pid}
	for i := 0; i < len(pids); i++ {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pids[i]))
		if err != nil {
			continue
		}
		for _, t := range tasks {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pids[i], t.Name()))
			if err != nil {
				continue
			}
			for f := range strings.FieldsSeq(string(b)) {
				if child, err := strconv.Atoi(f); err == nil {
					pids = append(pids, child)
				}
			}
		}
	}
	return pids
}

// cpuOf returns the seconds that a process, and the children it has waited for,
// have run.
func cpuOf(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in brackets, which may hold both
	// spaces and brackets.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const utime, cstime = 11, 14 // proc(5), counted from the field after the name
	if len(f) <= cstime {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	var sum int64
	for _, s := range f[utime : cstime+1] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return float64(sum) / ticks, nil
}

// memoryOf returns how many bytes of a process are in memory, and how many of
// these are pages of files.
func memoryOf(pid int) (resident, shared int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, 0, err
	}
	var size int64
	if _, err := fmt.Sscan(string(b), &size, &resident, &shared); err != nil {
		return 0, 0, err
	}
	page := int64(os.Getpagesize())
	return resident * page, shared * page, nil
}

// proportional returns the memory of a process tree in bytes, each shared page
// divided among those that share it. It takes too long to be done often.
func proportional(pid int) (int64, error) {
	var sum int64
	for i, p := range descendants(pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p))
		if err != nil {
			if i == 0 {
				return 0, err
			}
			continue
		}
		_, after, ok := strings.Cut(string(b), "\nPss:")
		f := strings.Fields(after)
		if !ok || len(f) == 0 {
			continue
		}
		kb, err := strconv.ParseInt(f[0], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += kb << 10
	}
	return sum, nil
}

// sampler looks at a process tree until it is stopped.
type sampler struct {
	pid    func() int
	begin  time.Time
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex // protects samples
	samples []Sample
}

// startSampler begins to look at the tree of the process that pid names at each
// time: servers are started anew within a workload. 0 is none.
func startSampler(pid func() int) *sampler {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sampler{pid: pid, begin: time.Now(), cancel: cancel}
	s.sample()
	s.done.Go(func() {
		next := time.NewTimer(interval)
		defer next.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-next.C:
			}
			begin := time.Now()
			s.sample()
			// A tree of a thousand processes takes a while: no more than a
			// fifth of the time may go into looking.
			next.Reset(max(interval, 4*time.Since(begin)))
		}
	})
	return s
}

// sample takes and returns a sample now.
func (s *sampler) sample() Sample {
	pid := s.pid()
	if pid == 0 {
		return Sample{}
	}
	u, err := tree(pid)
	if err != nil {
		return Sample{} // between two processes of the server
	}
	at := Sample{At: time.Since(s.begin).Seconds(), CPU: u.cpu, Memory: u.memory}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, at)
	return at
}

// peak returns the most memory seen since a sample.
func (s *sampler) peak(since Sample) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var most int64
	for _, x := range s.samples {
		if x.At >= since.At {
			most = max(most, x.Memory)
		}
	}
	return most
}

// stop ends the sampler and returns all samples.
func (s *sampler) stop() []Sample {
	s.cancel()
	s.done.Wait()
	s.sample()
	return s.samples
}
