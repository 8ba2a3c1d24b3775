package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// needShell skips a test where a shell is missing, which in CI is none.
func needShell(t *testing.T, shell string) {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI has %s", shell)
		t.Skipf("there is no %s here", shell)
	}
}

// completed runs a shell on a completion script and a few lines that ask it, and
// returns the words it offers.
func completed(t *testing.T, shell, ask string) []string {
	t.Helper()
	needShell(t, shell)
	program, err := exec.LookPath(shell)
	require.NoError(t, err)
	script := ok(t, "", "completion", shell)
	before := ""
	if shell == "zsh" {
		before = "compdef() {}\n" // the completion system, which -f leaves out
	}
	args := map[string][]string{
		"bash": {"--norc", "--noprofile"}, "zsh": {"-f"}, "fish": {"--no-config"},
	}[shell]
	out, err := exec.Command(program, append(args, "-c", before+script+ask)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.Fields(string(out))
}

func TestBashCompletes(t *testing.T) {
	ask := func(words ...string) []string {
		line := "mailserver " + strings.Join(words, " ")
		if words[len(words)-1] == "" {
			line += "''"
		}
		return completed(t, "bash", "COMP_WORDS=("+line+"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _mailserver; echo \"${COMPREPLY[@]}\"")
	}
	assert.Equal(t, []string{"serve"}, ask("se"))
	assert.Equal(t, []string{"account"}, ask("acc"))
	assert.Subset(t, ask("account", ""), []string{"add", "rename", "token", "list"})
	assert.Equal(t, []string{"add", "list", "revoke"}, ask("account", "token", ""))
	assert.Equal(t, []string{"-store"}, ask("account", "rename", "ann", "bob", "-st"))
	assert.Equal(t, []string{"-recovery-file"}, ask("account", "token", "add", "ann", "-store", "mail", "-r"))
	assert.Equal(t, []string{"completion_test.go"}, ask("check", "-store", "comp"))
}

func TestZshCompletes(t *testing.T) {
	ask := func(words ...string) []string {
		quoted := "mailserver"
		for _, w := range words {
			quoted += " '" + w + "'"
		}
		// What the completion system would have set, and a compadd that prints.
		return completed(t, "zsh", "\ncompadd() { shift; print -- $@ }; _files() {}; words=("+quoted+"); CURRENT=$#words; _mailserver")
	}
	script := ok(t, "", "completion", "zsh")
	assert.True(t, strings.HasPrefix(script, "#compdef mailserver\n"))
	needShell(t, "zsh")
	assert.Contains(t, ask(""), "serve")
	assert.Equal(t, []string{"add", "list", "revoke"}, ask("account", "token", ""))
	assert.Contains(t, ask("check", "-store", "x", ""), "-account")
}

func TestFishCompletes(t *testing.T) {
	script := ok(t, "", "completion", "fish")
	for _, c := range commands() {
		words := strings.Fields(c.Name)
		assert.Contains(t, script, " -a "+words[len(words)-1]+" -d ")
	}
	needShell(t, "fish")
	first := func(lines []string, line string) {
		t.Helper()
		assert.Contains(t, lines, line)
	}
	first(completed(t, "fish", "\ncomplete -C 'mailserver '"), "serve")
	first(completed(t, "fish", "\ncomplete -C 'mailserver account token '"), "revoke")
	first(completed(t, "fish", "\ncomplete -C 'mailserver account rename ann -st'"), "-store")
}

func TestCompletionOfAnotherShell(t *testing.T) {
	r := invoke(t, "", "completion", "tcsh")
	assert.Equal(t, cli.ExitUsage, r.Code)
	assert.Contains(t, r.Err, "bash, zsh or fish")
}

// A help page names every exit code, how to call it, and an example that begins
// with the command itself.
func TestHelpHasExamples(t *testing.T) {
	for _, c := range commands() {
		text := ok(t, "", append(strings.Fields(c.Name), "-help")...)
		require.Contains(t, text, "\nEXAMPLES\n    ", "%s", c.Name)
		require.NotEmpty(t, c.Examples, "%s", c.Name)
		for _, line := range c.Examples {
			assert.Contains(t, line, "mailserver "+c.Name, "%s", c.Name)
		}
	}
}
