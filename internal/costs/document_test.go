package costs

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var update = flag.Bool("update", false, "write the tables into docs/s3.md")

// Prices of Amazon's S3 Standard in us-east-1, in US$ a request.
const (
	pricePut = 0.005 / 1000 // and LIST
	priceGet = 0.0004 / 1000
)

func (c cost) price() float64 { return (c.put+c.list)*pricePut + c.get*priceGet }

// document compares the tables of docs/s3.md with what was counted, or writes them.
func document(rows []cost, idle cost) error {
	file := filepath.Join("..", "..", "docs", "s3.md")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for name, table := range map[string]string{"requests": requests(append(rows, idle)), "bill": bill(rows, idle)} {
		begin, end := "<!-- "+name+", by internal/costs -->\n", "<!-- end -->"
		before, rest, found := strings.Cut(string(text), begin)
		was, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			return fmt.Errorf("%s has no place for the table %q", file, name)
		}
		if was == table {
			continue
		}
		if !*update {
			return fmt.Errorf("%s is not what was counted (go test ./internal/costs -update writes it):\n%s", file, table)
		}
		text = []byte(before + begin + table + end + after)
	}
	if !*update {
		return nil
	}
	return errors.Join(os.WriteFile(file, text, 0o644))
}

// requests is the table of what each command costs.
func requests(rows []cost) string {
	var b strings.Builder
	b.WriteString("| | PUT | GET | LIST | POST | in sequence |\n|---|---:|---:|---:|---:|---:|\n")
	for _, c := range rows {
		rounds := fmt.Sprint(c.rounds)
		if c.rounds == 0 && c.list > 0 {
			rounds = "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", c.what, short(c.put), short(c.get), short(c.list), short(c.delete), rounds)
	}
	return b.String()
}

// short writes a number with at most two decimals.
func short(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

// bill is the table of what a month costs.
func bill(rows []cost, idle cost) string {
	row := map[string]cost{}
	for _, c := range rows {
		row[c.what] = c
	}
	notified := row["delivery by LMTP, and the notification of a waiting session"]
	// A snapshot is written once for so many deliveries that its share is small, and
	// it is that of APPEND.
	share := row["APPEND, each of 1,000, with the snapshots that they cause"].price() - row["APPEND"].price()
	lines := []struct {
		what string
		each float64 // a user's day
	}{
		{"100 deliveries, each notifying a waiting session, with snapshots", 100 * (notified.price() + share)},
		{"100 mails read", 100 * row["FETCH of one message"].price()},
		{"100 flags set", 100 * row["STORE of a flag on one message"].price()},
		{"20 warm logins with a SELECT", 20 * (row["LOGIN by password, warm"].price() + row["SELECT, warm"].price())},
		{"one cold login, SELECT and FETCH FULL, and its LOGOUT", row["LOGIN by password, cold"].price() + row["SELECT, cold"].price() +
			row["FETCH FULL of 1,000, cold"].price() + row["LOGOUT of the last session, with a snapshot"].price()},
	}
	const days = 30
	sizes := []struct{ users, processes float64 }{{1_000, 1}, {100_000, 10}}
	var b strings.Builder
	b.WriteString("| a month, US$ | 1,000 users, 1 process | 100,000 users, 10 processes |\n|---|---:|---:|\n")
	line := func(what string, of func(users, processes float64) float64) {
		fmt.Fprintf(&b, "| %s", what)
		for _, s := range sizes {
			fmt.Fprintf(&b, " | %.2f", of(s.users, s.processes)*days)
		}
		b.WriteString(" |\n")
	}
	sum := func(users, _ float64) (v float64) {
		for _, l := range lines {
			v += l.each * users
		}
		return v
	}
	for _, l := range lines {
		line(l.what, func(users, _ float64) float64 { return l.each * users })
	}
	poll := func(_, processes float64) float64 { return 24 * idle.price() * processes }
	line("the processes listing each other's wakes, and saying that they live", poll)
	wakes := func(_, processes float64) float64 {
		// Two a second at most, which every other process reads.
		return 2 * 86400 * processes * (pricePut + (processes-1)*priceGet)
	}
	line("the processes' wakes, if something is written in every half second", wakes)
	line("**in all**", func(u, p float64) float64 { return sum(u, p) + poll(u, p) + wakes(u, p) })
	return b.String()
}
