package main

import (
	"fmt"
	"math"
	"strings"
)

// headline is a row of the table in docs/performance.md.
type headline struct {
	text              string
	workload, measure string
}

// headlines are the figures that the project has set itself budgets for.
var headlines = []headline{
	{"APPEND, 16 accounts at once, 100 mails (23 MB) each", "append", "all at once"},
	{"— growth of memory meanwhile", "append", "all at once, memory"},
	{"— all memory of the server meanwhile", "append", "all at once, memory in all"},
	{"APPEND, the accounts one after the other", "append", "one after the other"},
	{"LMTP, 16 accounts at once", "lmtp", "all at once"},
	{"LMTP, one after the other", "lmtp", "one after the other"},
	{"COPY of 1,000 mails (236 MB)", "copy", "COPY"},
	{"MOVE of 1,000 mails", "copy", "MOVE"},
	{"STORE of one flag on one mail", "store", "one flag on one"},
	{"STORE of 16 flags on one mail", "store", "16 flags on one"},
	{"STORE of one flag on 1,000 mails", "store", "one flag on 1,000"},
	{"— silent", "store", "one flag on 1,000, silent"},
	{"SELECT, warm", "refresh", "SELECT INBOX"},
	{"STATUS of 16 folders", "refresh", "STATUS of 16 folders"},
	{"FETCH FULL of 1,000 mails, first time", "fetch", "FULL, first time"},
	{"— growth of memory meanwhile", "fetch", "FULL, first time, memory"},
	{"— again", "fetch", "FULL, again"},
	{"FETCH of header fields of 1,000 mails", "fetch", "header fields"},
	{"FETCH FLAGS of 1,000 mails", "fetch", "FLAGS"},
	{"FETCH of the first 2 KB of part 1 of 1,000 mails", "body", "first 2 KB of part 1"},
	{"FETCH BODY.PEEK[] of 1,000 mails (236 MB)", "body", "BODY.PEEK[]"},
	{"SEARCH TEXT in 1,000 mails (236 MB), first time", "search", "TEXT, first time"},
	{"— again", "search", "TEXT, again"},
	{"— growth of memory, first time", "search", "TEXT, first time, memory"},
	{"An idle session is told, after the OK of APPEND", "notify", "after OK of APPEND"},
	{"An idle session is told, after the 250 of LMTP", "notify", "after 250 of LMTP"},
	{"Memory of an idle connection, of 1,000", "idle", "1000 connections, memory of each"},
	{"63 idle connections of one folder told of a mail", "idle", "1000 connections, 63 of them told after"},
	{"LOGIN by a password verified lately", "login", "warm"},
	{"LOGIN by token", "login", "by token"},
	{"Poll: LOGIN, SELECT, LOGOUT", "login", "poll: LOGIN, SELECT, LOGOUT"},
}

// markdown returns the table of the headlines, and that of the requests with what
// they cost.
func markdown(r *Report) string {
	var b strings.Builder
	b.WriteString("|")
	for _, s := range r.Servers {
		fmt.Fprintf(&b, " | %s", s.Name)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---:", len(r.Servers)) + "|\n")
	for _, h := range headlines {
		cells := make([]string, len(r.Servers))
		any := false
		for i, s := range r.Servers {
			cells[i] = "–"
			if m, ok := s.measure(h.workload, h.measure); ok {
				cells[i], any = withUnit(m), true
			}
		}
		if any {
			fmt.Fprintf(&b, "| %s | %s |\n", h.text, strings.Join(cells, " | "))
		}
	}
	if len(r.Requests) == 0 {
		return b.String()
	}
	b.WriteString("\n| | PUT | GET | LIST |\n|---|---:|---:|---:|\n")
	for _, c := range r.Requests {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.What, figure(c.Put), figure(c.Get), figure(c.List))
	}
	b.WriteString("\n| a day of 1,000 users | PUT and LIST | GET | US$ |\n|---|---:|---:|---:|\n")
	var sum float64
	for _, d := range day(r.Requests) {
		sum += d.cost()
		fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.2f |\n", d.what, d.writes, d.reads, d.cost())
	}
	fmt.Fprintf(&b, "| **in all** | | | **%.2f** |\n", sum)
	return b.String()
}

// withUnit prints a measure as a reader wants it.
func withUnit(m Measure) string {
	if m.Unit == "ms" && m.Value >= 1000 {
		return fmt.Sprintf("%.1f s", m.Value/1000)
	}
	return figure(m.Value) + " " + m.Unit
}

// What Amazon asks for S3 Standard in us-east-1, in US$ for a request.
const (
	priceWrite = 0.005 / 1000 // PUT and LIST; DELETE is free
	priceRead  = 0.0004 / 1000
)

// spending is a part of a day's requests.
type spending struct {
	what          string
	writes, reads float64
}

func (s spending) cost() float64 { return s.writes*priceWrite + s.reads*priceRead }

// day is a day of 1,000 users who each get 100 mails: each mail is delivered,
// read and marked as seen; each user opens the account cold once, lists the
// folder, and logs in 20 times more; one process polls for others every two
// seconds and wakes them at most twice a second.
func day(counts []RequestCount) []spending {
	const users, mails = 1000, 100
	of := func(what string, prefix string, n float64) spending {
		s := spending{what: what}
		for _, c := range counts {
			if strings.HasPrefix(c.What, prefix) {
				s.writes, s.reads = n*(c.Put+c.List), n*(c.Get+c.Head)
				return s
			}
		}
		return s
	}
	const seconds = 24 * 60 * 60
	return []spending{
		of("100,000 deliveries", "delivery", users*mails),
		of("100,000 mails read", "FETCH BODY.PEEK[]", users*mails),
		of("100,000 flags set", "STORE, one flag on one", users*mails),
		of("1,000 cold logins", "LOGIN, cold", users),
		of("1,000 folders listed", "FETCH FULL", users),
		of("20,000 warm logins", "LOGIN, warm", 20*users),
		{what: "one process polls and wakes", writes: seconds/2 + math.Min(2*seconds, 2*users*mails)},
	}
}
