package move

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/letterlock/letterlock/examples/mailserver/internal/archive"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

// report shows how far an import or export is: a bar on a terminal, nothing on
// another standard error, or lines of JSON; and what went wrong, by name.
type report struct {
	total  int64 // weight of all messages
	asJSON bool
	out    io.Writer // JSON and the summary
	err    io.Writer // problems
	bar    *progressbar.ProgressBar
	term   io.Writer // where the bar goes; nil: none
	last   time.Time // when progress was shown

	name    string // of the folder
	weight  int64  // of what is done
	verb    string // imported, exported
	started time.Time
	moved
}

// moved is what was done. Of the mails that were read, each was added, was there
// already, came twice, or was refused.
type moved struct {
	Folders    int            `json:"folders"`
	Read       int            `json:"read"`
	Added      int            `json:"added"`
	Present    int            `json:"present"` // were there already
	Twice      int            `json:"twice"`   // came more than once in the source
	Refused    int            `json:"refused"`
	Problems   int            `json:"problems"`   // all that could not be read or taken, mails or not
	Reasons    map[string]int `json:"reasons"`    // problems by reason
	Renumbered int            `json:"renumbered"` // could not keep their UIDs
	FlagsLeft  int            `json:"flags_left"` // that there was no room for
}

// reasons are what problems are counted by. The first that fits counts.
var reasons = []struct {
	err  error
	text string
}{
	{archive.ErrText, "lines that may begin a mail, taken for text"},
	{archive.ErrNoMail, "no mail"},
	{archive.ErrIncomplete, "not complete in the source"},
	{mailbox.ErrTooLarge, "larger than the limit"},
	{errName, "names changed"},
	{fs.ErrPermission, "not allowed to read"},
	{fs.ErrNotExist, "not there any more"},
	{archive.ErrFolder, "folders not read to the end"},
	{nil, "not readable"},
}

// reason returns the reason of a problem.
func reason(err error) string {
	for _, r := range reasons {
		if r.err == nil || errors.Is(err, r.err) {
			return r.text
		}
	}
	return ""
}

// reportEvery is the least time between two lines of progress.
const reportEvery = time.Second

func newReport(p *cli.Program, asJSON bool) *report {
	r := &report{asJSON: asJSON, out: p.Out, err: p.Err, verb: "imported", started: time.Now()}
	if f, ok := p.Err.(*os.File); ok && !asJSON && term.IsTerminal(int(f.Fd())) {
		r.term = f
	}
	return r
}

// line prints an object as a line of JSON.
func (r *report) line(event string, fields map[string]any) {
	if !r.asJSON {
		return
	}
	fields["event"] = event
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err) // strings and numbers only
	}
	fmt.Fprintf(r.out, "%s\n", b)
}

// folder begins a folder.
func (r *report) folder(name string) {
	r.name = name
	r.Folders++
	if r.term == nil {
		return
	}
	if r.bar == nil {
		r.bar = progressbar.NewOptions64(max(r.total, 1),
			progressbar.OptionSetWriter(r.term), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(true), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
	}
	r.describe()
}

// describe puts the folder, the count and the rate in front of the bar, which
// shows the part that is done and the time that is left.
func (r *report) describe() {
	rate := float64(r.Added+r.Present) / max(time.Since(r.started).Seconds(), 0.001)
	name := r.name
	if len(name) > 24 {
		name = strings.ToValidUTF8(name[:24], "")
	}
	r.bar.Describe(fmt.Sprintf("%s: %d mails, %.0f/s", name, r.Added+r.Present, rate))
}

// step counts a message, or what was in its place, as done.
func (r *report) step(weight int64) {
	r.weight += weight
	now := time.Now()
	if r.bar != nil {
		if now.Sub(r.last) >= 100*time.Millisecond {
			r.last = now
			r.describe()
		}
		_ = r.bar.Set64(min(r.weight, r.total)) // a bar that fails is no bar
		return
	}
	if r.asJSON && now.Sub(r.last) >= reportEvery {
		r.last = now
		left := -1.0
		if done := float64(r.weight); done > 0 {
			left = now.Sub(r.started).Seconds() / done * float64(r.total-r.weight)
		}
		r.line("progress", map[string]any{
			"folder": r.name, "done": r.weight, "total": r.total, "added": r.Added, "present": r.Present,
			"problems": r.Problems, "seconds": now.Sub(r.started).Seconds(), "seconds_left": left,
		})
	}
}

// say shows a person who waits what is being done.
func (r *report) say(what string) {
	if r.term != nil {
		fmt.Fprintf(r.term, "%s ...\n", what)
	}
}

// count counts problems of one reason.
func (r *report) count(reason string, n int) {
	r.Problems += n
	if r.Reasons == nil {
		r.Reasons = map[string]int{}
	}
	r.Reasons[reason] += n
}

// problem names what could not be read or taken.
func (r *report) problem(folder, name string, err error) {
	r.count(reason(err), 1)
	if r.asJSON {
		r.line("problem", map[string]any{"folder": folder, "name": name, "error": err.Error(), "reason": reason(err)})
		return
	}
	if r.bar != nil {
		_ = r.bar.Clear()
	}
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	for _, part := range []string{name, folder} {
		if part != "" && !strings.Contains(text, part) {
			text = part + ": " + text
		}
	}
	fmt.Fprintf(r.err, "problem  %s\n", text)
}

// endFolder counts what an import into a folder did.
func (r *report) endFolder(name string, hadUIDs bool, res mailbox.ImportResult) {
	r.Renumbered += res.Renumbered
	r.line("folder", map[string]any{
		"folder": name, "added": res.Added, "present": res.Present, "failed": res.Failed,
		"renumbered": res.Renumbered, "kept_uids": res.KeptUIDs,
	})
	if !r.asJSON && hadUIDs && !res.KeptUIDs && res.Added > 0 {
		fmt.Fprintf(r.err, "note     %s held messages before: UIDs are new\n", name)
	}
}

var errProblems = errors.New("not everything could be read or taken")

// done prints the sum, and makes problems an error.
func (r *report) done(err error) error {
	if r.bar != nil {
		_ = r.bar.Finish()
	}
	seconds := time.Since(r.started).Seconds()
	r.Read = r.Added + r.Present + r.Twice + r.Refused
	if r.asJSON {
		b, failed := json.Marshal(r.moved)
		fields := map[string]any{}
		if failed == nil {
			failed = json.Unmarshal(b, &fields)
		}
		if failed != nil {
			return errors.Join(err, failed)
		}
		fields["seconds"], fields["ok"] = seconds, err == nil && r.Problems == 0
		r.line("done", fields)
	} else {
		fmt.Fprintf(r.out, "%s: %d mails in %d folders, %.0f/s\n", r.verb, r.Added, r.Folders, float64(r.Added)/max(seconds, 0.001))
		fmt.Fprintf(r.out, "read: %d mails%s\n", r.Read, parts([]part{
			{r.Added, r.verb}, {r.Present, "were there already"}, {r.Twice, "came twice"}, {r.Refused, "refused"},
		}))
		if text := parts([]part{{r.Renumbered, "mails have new UIDs"}, {r.FlagsLeft, "flags left out"}}); text != "" {
			fmt.Fprintf(r.out, "changed%s\n", text)
		}
		if text := r.byReason(); text != "" {
			fmt.Fprintf(r.out, "problems%s\n", text)
		}
	}
	if err == nil && r.Problems > 0 {
		err = fmt.Errorf("%w: %d problems", errProblems, r.Problems)
	}
	return err
}

// byReason returns the problems by reason.
func (r *report) byReason() string {
	var all []part
	for _, x := range reasons {
		all = append(all, part{r.Reasons[x.text], x.text})
	}
	return parts(all)
}

// part is a number of things.
type part struct {
	n    int
	what string
}

// parts returns those that there are, as the end of a line.
func parts(all []part) string {
	var texts []string
	for _, p := range all {
		if p.n > 0 {
			texts = append(texts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return ": " + strings.Join(texts, ", ")
}

// noting remembers that it was the source that failed, and not where it goes.
type noting struct {
	r   io.Reader
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	k, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return k, err
}
