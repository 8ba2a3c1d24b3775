package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var mutantsFlag = flag.Bool("mutants", false, "break the code in each of the ways of TestMutants and see that the simulation finds it")

// mutants are ways to break the code, each of which breaks a promise. A simulation
// that does not find them proves nothing.
var mutants = []struct {
	what, file, old, new string
}{
	{
		"one who stood still believes that nothing was trimmed", "eventlog/fresh.go",
		"return at.settled && since(now, at.quiet) <= l.grace/4", "return true",
	},
	{
		"only that there is an entry is looked at, not which", "eventlog/fresh.go",
		"hash != head.Hash", "hash == *new(Hash)",
	},
	{
		"an answer that was lost is taken for a failure", "eventlog/store.go",
		"out.doubt = out.doubt || !errors.Is(err, fs.ErrExist)",
		"if !errors.Is(err, fs.ErrExist) {\n\t\t\treturn out, err\n\t\t}",
	},
	{
		"a name that is taken is taken by another", "eventlog/store.go",
		"out.stored = same\n", "out.stored = same && err == nil\n",
	},
	{
		"a conflict is taken for a success", "eventlog/append.go",
		"if !out.stored {\n\t\treturn Entry{}, fmt.Errorf(\"eventlog: append", "if false {\n\t\treturn Entry{}, fmt.Errorf(\"eventlog: append",
	},
	{
		"a failed read is taken for the end of the log", "eventlog/read.go",
		"} else if errors.Is(o.err, fs.ErrNotExist) {", "} else if o.err != fs.ErrNotExist {",
	},
	{
		"the entry at the position of the snapshot that is kept is trimmed too", "eventlog/trim.go",
		"if p >= keep {\n\t\t\tbreak\n\t\t}\n\t\t// One name", "if p > keep {\n\t\t\tbreak\n\t\t}\n\t\t// One name",
	},
	{
		"what is trimmed is not old", "eventlog/trim.go",
		"if age < l.grace {", "if age < -l.grace {",
	},
	{
		"a UID is the one of the first try", "mailbox/appender.go",
		"done = done[:0]\n\t\tfor i := range p.staged {", "for i := range p.staged[len(done):] {",
	},
	{
		"an entry is told as committed before it is", "eventlog/batch.go",
		"case errors.Is(err, ErrUnknownOutcome): // whatever else it is\n\t\t\treturn err",
		"case errors.Is(err, ErrUnknownOutcome):\n\t\t\tfor _, a := range p.answers {\n\t\t\t\ta.call.tell(base.head, nil)\n\t\t\t}\n\t\t\treturn nil",
	},
	{
		"the body of a message is removed when the outcome is not known", "mailbox/appender.go",
		"if (refused || notCommitted(err)) && !p.shared {", "if (refused || err != nil) && !p.shared {",
	},
	{
		"UNCHANGEDSINCE is not looked at", "mailbox/change.go",
		"if since != nil && h.Page.ModSeqs[h.Row] > *since {", "if false {",
	},
	{
		"a session is not told what was expunged before it was last held back", "mailbox/sync.go",
		"n = &told{box: next, ghosts: was.ghosts, recents: was.recents}", "n = &told{box: next, recents: was.recents}",
	},
	{
		"a snapshot loses the metadata of copies", "mailbox/internal/pages/writer.go",
		"row.Meta, row.Slot = to.src, to.slot", "row.Meta = to.src",
	},
	{
		"a recipient is deleted before the next one is there", "mailbox/rotate.go",
		"err = s.blobs.Create(ctx, p.object, bytes.NewReader(p.encode(a.identity)))",
		"if err = s.blobs.Delete(ctx, now.object); err == nil {\n\t\terr = s.blobs.Create(ctx, p.object, bytes.NewReader(p.encode(a.identity)))\n\t}",
	},
	{
		"a change of identity deletes its own slot with the older ones", "mailbox/rotate.go",
		"err = s.completeRotation(ctx, a.id, next)\n\t}\n",
		"err = s.completeRotation(ctx, a.id, next)\n\t\told, _ = s.slotNames(ctx, a.prefix)\n\t}\n",
	},
	{
		"the recipient of another's change is taken for the own one", "mailbox/rotate.go",
		"behind == nil && there.recipient.Equal(p.recipient)", "behind == nil && there != nil",
	},
	{
		"the log goes on under the next identity without an entry that ends the one before", "mailbox/rotate.go",
		"err = a.beginAnew(ctx)", "err = a.writeSnapshot(ctx, s.opts.Now(), pages.Rewrite{})",
	},
	{
		"a session passes over mail that is sealed to the next identity", "mailbox/rotate.go",
		"if !errors.Is(e.Junk, crypto.ErrDecrypt) {", "if e.Junk != nil {",
	},
	{
		"that it cannot be found out whether the identity was changed is taken for damage", "mailbox/rotate.go",
		"\t}\n\treturn why\n", "\t}\n\treturn err\n",
	},
	{
		"of the identities of before only the last is kept", "mailbox/identityring.go",
		"all = append(all, old)\n\t\tat = old.identity", "return append(all, old), nil",
	},
}

// TestMutants breaks the code, one way after the other, and runs the simulation on
// it. Where the code has changed, its mutant must be changed too.
func TestMutants(t *testing.T) {
	if !*mutantsFlag {
		t.Skip("give -mutants; it takes minutes")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	for _, m := range mutants {
		file := filepath.Join(root, filepath.FromSlash(m.file))
		code, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(code), m.old), "%s: %s", m.file, m.what)
		t.Run(m.what, func(t *testing.T) {
			dir := t.TempDir()
			broken, overlay := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
			require.NoError(t, os.WriteFile(broken, []byte(strings.Replace(string(code), m.old, m.new, 1)), 0o600))
			list, err := json.Marshal(map[string]any{"Replace": map[string]string{file: broken}})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(overlay, list, 0o600))
			build := exec.Command("go", "test", "-overlay", overlay, "-c", "-o", filepath.Join(dir, "sim.test"), ".")
			out, err := build.CombinedOutput()
			require.NoError(t, err, "%s", out)
			run := exec.Command(filepath.Join(dir, "sim.test"), "-test.run", "TestSeeds", "-seeds", "1000", "-story", "0", "-test.timeout", "5m")
			out, err = run.CombinedOutput()
			assert.Error(t, err, "the simulation found nothing wrong")
			_, what, _ := strings.Cut(string(out), "seed ")
			what, _, _ = strings.Cut(what, "\n")
			fmt.Printf("%s: seed %.160s\n", m.what, what)
		})
	}
}
