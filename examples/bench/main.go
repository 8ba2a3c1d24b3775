// Bench replays the workloads that mail servers were measured with in public, on
// letterlock's example server and on others, and draws what it saw.
//
// It starts a server as a process of its own, makes the mails, runs one workload
// after the other, and reads CPU time and memory of the server's process tree
// from /proc all the while. It writes a JSON file, tables as text and Markdown,
// and one HTML page with plots:
//
//	go run .                                             # letterlock, all workloads
//	go run . -servers letterlock,dovecot,dovecot-crypt   # and Debian's Dovecot, as root
//	go run . -address 127.0.0.1:143 -lmtp 127.0.0.1:24 -pid 4242 -accounts ann:secret,bob:secret
//	go run . -servers letterlock-s3 -store 's3://bucket/prefix?endpoint=...'
//	go run . -render bench.json                          # draw an earlier run again
//
// Every workload is a function in a file work*.go; bench.go runs them, server.go
// says what a server is. Only ratios within one run mean anything: the client
// shares the machine with the server, and the machine with whatever else runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

type options struct {
	servers    string
	run        string
	dir        string
	out        string
	render     string
	plots      string
	mailserver string
	store      string
	counts     counts

	address, lmtp, accounts string
	pid                     int

	workloads *regexp.Regexp
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, progress io.Writer) error {
	o, err := parseFlags(args, progress)
	if err != nil {
		return err
	}
	if o.render != "" {
		r, err := readReport(o.render)
		if err != nil {
			return err
		}
		if o.plots != "" {
			return writePictures(r, o.plots)
		}
		return writeReport(r, o.out)
	}
	// Not after minutes of measuring:
	if err := os.MkdirAll(filepath.Dir(o.out), 0o777); err != nil {
		return err
	}
	raiseOpenFiles()
	r, err := measure(ctx, o, progress)
	if err != nil {
		return err
	}
	if err := writeReport(r, o.out); err != nil {
		return err
	}
	fmt.Fprintf(progress, "wrote %s.json, .txt, .md and .html\n", o.out)
	if !slices.ContainsFunc(r.Servers, func(s ServerReport) bool { return s.Failed == "" }) {
		return errors.New("no server could be measured")
	}
	return nil
}

func parseFlags(args []string, w io.Writer) (*options, error) {
	o := &options{counts: fullCounts()}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(w)
	fs.StringVar(&o.servers, "servers", "letterlock", "comma-separated `names`: letterlock, letterlock-s3, dovecot, dovecot-crypt")
	fs.StringVar(&o.store, "store", "", "the bucket of letterlock-s3, `s3://bucket/prefix?endpoint=...`; what a run puts there stays there")
	fs.StringVar(&o.run, "run", ".", "run the workloads whose names match the `regexp`; those they need run too")
	fs.StringVar(&o.dir, "dir", "", "the `folder` in which a temporary one holds the servers' data (default the system's; not one in memory)")
	fs.StringVar(&o.out, "out", "bench", "write `PATH`.json, PATH.txt, PATH.md and PATH.html")
	fs.StringVar(&o.render, "render", "", "measure nothing; write the report of this JSON `file` again")
	fs.StringVar(&o.plots, "plots", "", "with -render: write nothing but the plots, as SVG, into this `folder`")
	fs.StringVar(&o.mailserver, "mailserver", "", "the example server's `program` (default: build it)")
	fs.StringVar(&o.address, "address", "", "measure the IMAP server at `host:port`, which runs already, in place of -servers")
	fs.StringVar(&o.lmtp, "lmtp", "", "with -address: its LMTP `host:port`")
	fs.IntVar(&o.pid, "pid", 0, "with -address: the `process` to watch, with its children")
	fs.StringVar(&o.accounts, "accounts", "", "with -address: comma-separated `name:password`s; 18 for all workloads")
	quick := fs.Bool("quick", false, "a hundredth of the work: to see that everything runs, not to measure")
	idle := fs.String("idle", "", "comma-separated `numbers` of idle connections (default 1000,10000)")
	scale := fs.String("scale", "", "comma-separated `numbers` of messages in a folder (default 1000,10000,100000,1000000)")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if *quick {
		o.counts = quickCounts()
	}
	var err error
	if o.workloads, err = regexp.Compile(o.run); err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	if err := numbers(*idle, &o.counts.idle); err != nil {
		return nil, fmt.Errorf("-idle: %w", err)
	}
	if err := numbers(*scale, &o.counts.scale); err != nil {
		return nil, fmt.Errorf("-scale: %w", err)
	}
	o.out, err = filepath.Abs(strings.TrimSuffix(o.out, ".json"))
	return o, err
}

func numbers(list string, to *[]int) error {
	if list == "" {
		return nil
	}
	*to = nil
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a number above 0", s)
		}
		*to = append(*to, n)
	}
	return nil
}

// measure runs the chosen workloads, each on all chosen servers before the next:
// what else the machine does meanwhile is then about the same for all of them.
func measure(ctx context.Context, o *options, progress io.Writer) (r *Report, err error) {
	if runtime.GOOS != "linux" {
		return nil, errors.New("CPU time and memory are read from /proc: this needs Linux")
	}
	dir, err := os.MkdirTemp(o.dir, "letterlock-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	servers, err := o.chosen(dir)
	if err != nil {
		return nil, err
	}
	r = newReport()
	mails := mailSet()
	var benches []*bench
	defer func() {
		for _, b := range benches {
			err = errors.Join(err, b.server.stop())
		}
	}()
	for _, s := range servers {
		benches = append(benches, &bench{server: s, mails: mails, counts: o.counts, progress: progress})
		r.Servers = append(r.Servers, started(ctx, s, progress))
	}
	for _, w := range selectWorkloads(o.workloads) {
		for i, b := range benches {
			if sr := &r.Servers[i]; sr.Failed == "" {
				sr.Workloads = append(sr.Workloads, b.run(ctx, w))
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
		}
	}
	if o.workloads.MatchString("requests") && o.address == "" {
		fmt.Fprintln(progress, "requests of a store in a bucket")
		if r.Requests, err = countRequests(ctx, mails, o.counts.mails); err != nil {
			return nil, fmt.Errorf("requests: %w", err)
		}
	}
	return r, nil
}

// started starts a server. One that does not start is noted, and passed over.
func started(ctx context.Context, s server, progress io.Writer) ServerReport {
	sr := ServerReport{Name: s.name()}
	if err := s.start(ctx); err != nil {
		sr.Failed = err.Error()
		fmt.Fprintf(progress, "%s: start: %v\n", s.name(), err)
		return sr
	}
	sr.Version = s.version()
	return sr
}

// raiseOpenFiles allows this process, and those it starts, what the system does.
func raiseOpenFiles() {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil && l.Cur < l.Max {
		l.Cur = l.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) // less connections, told by their workload
	}
}
