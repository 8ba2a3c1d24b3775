package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"
)

// workload is one thing that a server is asked to do.
type workload struct {
	name  string
	about string   // one line, the title of its plots
	needs []string // workloads whose mails it works on
	run   func(context.Context, *bench) error
}

// workloads are all there are, in the order they run in.
func workloads() []workload {
	return slices.Concat(appendWorkloads(), folderWorkloads(), readWorkloads(), idleWorkloads(), loginWorkloads(), scaleWorkloads(), commandWorkloads())
}

// selectWorkloads returns those whose names match, and those they need.
func selectWorkloads(match *regexp.Regexp) []workload {
	all := workloads()
	wanted := map[string]bool{}
	for _, w := range slices.Backward(all) { // needs come first in order
		if match.MatchString(w.name) || wanted[w.name] {
			wanted[w.name] = true
			for _, n := range w.needs {
				wanted[n] = true
			}
		}
	}
	return slices.DeleteFunc(all, func(w workload) bool { return !wanted[w.name] })
}

// bench runs workloads on one server.
type bench struct {
	server   server
	mails    []mail
	counts   counts
	progress io.Writer

	sampler *sampler
	result  *Result
}

// errSkipped is wrapped by a workload that the server cannot do.
var errSkipped = errors.New("skipped")

func skipf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errSkipped, fmt.Sprintf(format, args...))
}

// run runs a workload to its end, whatever that is.
func (b *bench) run(ctx context.Context, w workload) Result {
	fmt.Fprintf(b.progress, "%s: %s ", b.server.name(), w.about)
	b.result = &Result{Workload: w.name, About: w.about}
	b.sampler = startSampler(b.server.pid)
	begin := time.Now()
	err := w.run(ctx, b)
	b.result.Wall = time.Since(begin).Seconds()
	b.result.Samples = thin(b.sampler.stop(), maxSamples)
	switch {
	case errors.Is(err, errSkipped):
		b.result.Skipped = err.Error()
		fmt.Fprintln(b.progress, err)
	case err != nil:
		b.result.Failed = err.Error()
		fmt.Fprintln(b.progress, "failed:", err)
	default:
		fmt.Fprintf(b.progress, "%.1f s\n", b.result.Wall)
	}
	for _, m := range b.result.Measures {
		fmt.Fprintf(b.progress, "    %-40s %10.2f %s\n", m.Name, m.Value, m.Unit)
	}
	return *b.result
}

func (b *bench) add(name string, value float64, unit string) {
	b.result.Measures = append(b.result.Measures, Measure{Name: name, Value: value, Unit: unit})
}

// phase does something that takes a while, and records its wall time, CPU time
// and the growth of memory at its peak.
func (b *bench) phase(name string, do func() error) error {
	before := b.sampler.sample()
	begin := time.Now()
	err := b.counted(name, 1, do)
	wall := time.Since(begin)
	after := b.sampler.sample()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.result.Phases = append(b.result.Phases, Phase{Name: name, From: begin.Sub(b.sampler.begin).Seconds(), To: time.Since(b.sampler.begin).Seconds()})
	b.add(name, float64(wall)/1e6, "ms")
	if b.server.pid() != 0 {
		b.add(name+", CPU", (after.CPU-before.CPU)*1e3, "ms")
		peak := b.sampler.peak(before)
		b.add(name+", memory", float64(peak-before.Memory)/(1<<20), "MB")
		b.add(name+", memory in all", float64(peak)/(1<<20), "MB")
	}
	return nil
}

// repeat does something short many times and records the median and the worst.
func (b *bench) repeat(name string, n int, do func(i int) error) error {
	times := make([]time.Duration, n)
	if err := b.counted(name, n, func() error {
		for i := range times {
			begin := time.Now()
			if err := do(i); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			times[i] = time.Since(begin)
		}
		return nil
	}); err != nil {
		return err
	}
	b.spread(name, times)
	return nil
}

// spread records the median and the worst of some times.
func (b *bench) spread(name string, times []time.Duration) {
	slices.Sort(times)
	b.add(name, float64(times[len(times)/2])/1e6, "ms")
	b.add(name+", worst", float64(times[len(times)-1])/1e6, "ms")
}

// account returns one of the accounts that mails are put into; those of another
// kind begin at b.counts.accounts.
func (b *bench) account(n int) (account, error) {
	all := b.server.accounts()
	if n >= len(all) {
		return account{}, skipf("needs %d accounts, there are %d", n+1, len(all))
	}
	return all[n], nil
}

// big returns a session of the account that holds the folder of very many mails.
func (b *bench) big(ctx context.Context) (*client, error) {
	a, err := b.account(b.counts.accounts)
	if err != nil {
		return nil, err
	}
	return login(ctx, b.server, a, 0)
}

// together runs do for every number below n, at most width at a time, and
// returns the first error once all have ended.
func together(n, width int, do func(i int) error) error {
	next := make(chan int)
	errs := make(chan error, width)
	for range width {
		go func() {
			var first error
			for i := range next {
				if first == nil {
					first = do(i)
				}
			}
			errs <- first
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	var all []error
	for range width {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}
