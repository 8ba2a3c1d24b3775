package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

func Completion() Command {
	return Command{
		Name: "completion", Args: []string{"SHELL"}, About: "print a shell's completion",
		Text: `Prints a script with which the shell completes commands and flags at the tab key:
SHELL is bash, zsh or fish. It is made from the commands of this very program, so
print it anew after an update.`,
		Examples: []string{
			"source <(mailserver completion bash)",
			"mailserver completion zsh > ~/.zfunc/_mailserver",
			"mailserver completion fish > ~/.config/fish/completions/mailserver.fish",
		},
		Setup: func(*flag.FlagSet) Action {
			return func(_ context.Context, p *Program, names []string) error {
				write := map[string]func(io.Writer, []node){"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[names[0]]
				if write == nil {
					return Usagef("SHELL is bash, zsh or fish, not %q", names[0])
				}
				write(p.Out, p.completions())
				return nil
			}
		},
	}
}

// node is one place of a command line: the words that lead there and what may
// follow them.
type node struct {
	path  string // words joined by spaces; empty for the program's own
	words []word
}

// word is a word that may follow, with its meaning in one line.
type word struct{ text, about string }

// completions returns what may follow each beginning of a command.
func (p *Program) completions() []node {
	follow := map[string][]word{}
	add := func(path string, w word) {
		if !slices.ContainsFunc(follow[path], func(o word) bool { return o.text == w.text }) {
			follow[path] = append(follow[path], w)
		}
	}
	for _, c := range p.commands {
		words := strings.Fields(c.Name)
		for i, text := range words {
			about := c.About
			if i < len(words)-1 {
				about = "commands of " + strings.Join(words[:i+1], " ")
			}
			add(strings.Join(words[:i], " "), word{text, about})
		}
		fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
		c.Setup(fs)
		fs.VisitAll(func(f *flag.Flag) {
			_, usage := flag.UnquoteUsage(f)
			usage, _, _ = strings.Cut(usage, "\n")
			add(c.Name, word{"-" + f.Name, usage})
		})
		add(c.Name, word{"-help", "describe the command"})
	}
	nodes := make([]node, 0, len(follow))
	for path, words := range follow {
		nodes = append(nodes, node{path, words})
	}
	slices.SortFunc(nodes, func(a, b node) int { return strings.Compare(a.path, b.path) })
	return nodes
}

// texts returns the words of a place, as one line.
func (n node) texts() string {
	var out []string
	for _, w := range n.words {
		out = append(out, w.text)
	}
	return strings.Join(out, " ")
}

// quote puts a text into single quotes, for every shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// bashCompletion walks the words before the cursor as far as they are commands.
// What is neither a command nor a flag is completed as a file.
func bashCompletion(w io.Writer, nodes []node) {
	fmt.Fprint(w, `# bash completion of mailserver
_mailserver_words() {
	case "$1" in
`)
	for _, n := range nodes {
		fmt.Fprintf(w, "\t%s) echo %s ;;\n", quote(n.path), quote(n.texts()))
	}
	fmt.Fprint(w, `	esac
}
_mailserver() {
	local cur=${COMP_WORDS[COMP_CWORD]} path= next i
	for ((i = 1; i < COMP_CWORD; i++)); do
		next="${path:+$path }${COMP_WORDS[i]}"
		[ -n "$(_mailserver_words "$next")" ] && path=$next
	done
	COMPREPLY=($(compgen -W "$(_mailserver_words "$path")" -- "$cur"))
	[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$cur"))
}
complete -o filenames -F _mailserver mailserver
`)
}

// zshCompletion is for a file in fpath as well as for "source".
func zshCompletion(w io.Writer, nodes []node) {
	fmt.Fprint(w, `#compdef mailserver
_mailserver() {
	local at=mailserver next i
	local -A follow
	follow=(
`)
	for _, n := range nodes {
		fmt.Fprintf(w, "\t\t%s %s\n", quote(strings.TrimSpace("mailserver "+n.path)), quote(n.texts()))
	}
	fmt.Fprint(w, `	)
	for ((i = 2; i < CURRENT; i++)); do
		next="$at ${words[i]}"
		[[ -n ${follow[$next]} ]] && at=$next
	done
	compadd -- ${=follow[$at]}
	_files
}
if [[ $funcstack[1] == _mailserver ]]; then
	_mailserver "$@"
else
	compdef _mailserver mailserver
fi
`)
}

// fishCompletion has a line for each word, with a condition on those before.
func fishCompletion(w io.Writer, nodes []node) {
	fmt.Fprintln(w, "# fish completion of mailserver")
	for _, n := range nodes {
		condition := "__fish_use_subcommand"
		if n.path != "" {
			parts := strings.Fields(n.path)
			condition = "__fish_seen_subcommand_from " + strings.Join(parts, "; and __fish_seen_subcommand_from ")
		}
		for _, word := range n.words {
			fmt.Fprint(w, "complete -c mailserver -n ", quote(condition))
			if name, isFlag := strings.CutPrefix(word.text, "-"); isFlag {
				fmt.Fprint(w, " -o ", name)
			} else {
				fmt.Fprint(w, " -f -a ", word.text)
			}
			fmt.Fprintln(w, " -d", quote(word.about))
		}
	}
}
