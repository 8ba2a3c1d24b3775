package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

func round(x float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(x*p) / p
}

// row is a figure of one workload, for each server that has it.
type row struct {
	name, unit string
	values     []string // by server; "-" if there is none
}

// section is a workload with all its rows and what there is to say of it.
type section struct {
	name, about string
	rows        []row
	notes       []string
}

// sections turn a report, which is by server, into what is read: by workload.
func sections(r *Report) []section {
	var all []section
	for _, w := range workloads() {
		s := section{name: w.name, about: w.about}
		for i, sr := range r.Servers {
			at := slices.IndexFunc(sr.Workloads, func(x Result) bool { return x.Workload == w.name })
			if at < 0 {
				continue
			}
			s.add(i, len(r.Servers), sr.Name, &sr.Workloads[at])
		}
		if len(s.rows)+len(s.notes) > 0 {
			all = append(all, s)
		}
	}
	return all
}

func (s *section) add(server, servers int, name string, result *Result) {
	for _, m := range result.Measures {
		at := slices.IndexFunc(s.rows, func(x row) bool { return x.name == m.Name && x.unit == m.Unit })
		if at < 0 {
			at = len(s.rows)
			s.rows = append(s.rows, row{name: m.Name, unit: m.Unit, values: slices.Repeat([]string{"-"}, servers)})
		}
		s.rows[at].values[server] = figure(m.Value)
	}
	if result.Skipped != "" {
		s.notes = append(s.notes, fmt.Sprintf("%s: %s", name, result.Skipped))
	}
	if result.Failed != "" {
		s.notes = append(s.notes, fmt.Sprintf("%s failed: %s", name, result.Failed))
	}
	for _, c := range result.Refused {
		s.notes = append(s.notes, fmt.Sprintf("%s refused %s", name, c))
	}
}

// figure prints a number with as many digits as mean something.
func figure(x float64) string {
	switch a := math.Abs(x); {
	case a >= 100 || a == math.Trunc(a):
		return fmt.Sprintf("%.0f", x)
	case a >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// textTable returns the whole report as text.
func textTable(r *Report) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n%s\n%s\n", r.When.Format("2006-01-02 15:04 MST"), r.Machine, r.Command)
	for _, s := range r.Servers {
		fmt.Fprintln(&b, strings.TrimSpace(s.Name+" "+s.Version+" "+s.Failed))
	}
	for _, s := range sections(r) {
		fmt.Fprintf(&b, "\n%s: %s\n", s.name, s.about)
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(w, "\t")
		for _, sr := range r.Servers {
			fmt.Fprintf(w, "%s\t", sr.Name)
		}
		fmt.Fprintln(w, "\t")
		for _, x := range s.rows {
			fmt.Fprintf(w, "%s\t%s\t%s\t\n", x.name, strings.Join(x.values, "\t"), x.unit)
		}
		_ = w.Flush() // into memory
		for _, n := range s.notes {
			fmt.Fprintln(&b, "  "+n)
		}
	}
	if len(r.Requests) > 0 {
		fmt.Fprintf(&b, "\nRequests of a store in a bucket\n")
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "\tPUT\tGET\tLIST\tHEAD\tDELETE\t")
		for _, c := range r.Requests {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t\n", c.What, figure(c.Put), figure(c.Get), figure(c.List), figure(c.Head), figure(c.Delete))
		}
		_ = w.Flush() // into memory
	}
	return b.String()
}

// measure returns a figure of a workload of a server.
func (s *ServerReport) measure(workload, name string) (Measure, bool) {
	for _, w := range s.Workloads {
		for _, m := range w.Measures {
			if w.Workload == workload && m.Name == name {
				return m, true
			}
		}
	}
	return Measure{}, false
}
