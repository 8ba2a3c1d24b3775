package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// serveLine asserts that the arguments are those of a "serve" that would run.
func serveLine(t *testing.T, args []string) {
	t.Helper()
	c, rest := cli.Find(commands(), args)
	require.NotNil(t, c, "%v", args)
	require.Equal(t, "serve", c.Name)
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	c.Setup(fs)
	names, err := cli.Parse(fs, rest)
	require.NoError(t, err, "%v", args)
	require.Empty(t, names, "%v", args)
}

// The unit starts what there is, and systemd understands all of it.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("deploy/letterlock.service")
	require.NoError(t, err)
	lines := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			lines[key] = append(lines[key], value)
		}
	}
	require.Len(t, lines["ExecStart"], 1)
	args := strings.Fields(strings.ReplaceAll(lines["ExecStart"][0], `""`, "''"))
	for i := range args {
		args[i] = strings.Trim(args[i], "'")
	}
	assert.Equal(t, "/usr/local/bin/mailserver", args[0])
	serveLine(t, args[1:])
	for _, credential := range lines["LoadCredential"] {
		name, _, _ := strings.Cut(credential, ":")
		assert.Contains(t, lines["ExecStart"][0], "${CREDENTIALS_DIRECTORY}/"+name)
	}
	assert.Equal(t, []string{"yes"}, lines["DynamicUser"])
	assert.Equal(t, []string{"notify"}, lines["Type"])

	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("systemd-analyze is not here: its verdict is left out")
		return
	}
	// It also looks whether the program is there: one stands in for it.
	dir := t.TempDir()
	unit := filepath.Join(dir, "letterlock.service")
	program := filepath.Join(dir, "mailserver")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
	require.NoError(t, os.WriteFile(unit, bytes.ReplaceAll(text, []byte("/usr/local/bin/mailserver"), []byte(program)), 0o644))
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	assert.NoError(t, err, "%s", out)
	assert.NotContains(t, string(out), "letterlock.service:", "a line that it does not understand")
}

// The Dockerfile builds what there is, from files that are there, with a Go that is
// new enough, and starts it with flags that exist.
func TestDockerfile(t *testing.T) {
	root := filepath.Join("..", "..")
	b, err := os.ReadFile("deploy/Dockerfile")
	require.NoError(t, err)
	text := strings.ReplaceAll(string(b), "\\\n", " ")
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))
	require.NotNil(t, version)
	assert.Contains(t, text, "FROM golang:"+version[1]+" AS build")
	seen := map[string]int{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		seen[f[0]]++
		switch {
		case f[0] == "COPY" && !strings.HasPrefix(f[1], "--from"):
			for _, source := range f[1 : len(f)-1] {
				_, err := os.Stat(filepath.Join(root, source))
				assert.NoError(t, err, line)
			}
		case f[0] == "RUN":
			for _, word := range f {
				if strings.HasPrefix(word, "./") {
					_, err := os.Stat(filepath.Join(root, word, "main.go"))
					assert.NoError(t, err, line)
				}
			}
		case f[0] == "CMD":
			var args []string
			require.NoError(t, json.Unmarshal([]byte(strings.TrimPrefix(strings.TrimSpace(line), "CMD ")), &args))
			serveLine(t, args)
		case f[0] == "ENTRYPOINT":
			assert.Contains(t, line, `["/mailserver"]`)
			assert.Contains(t, text, "-o /out/mailserver ")
		}
	}
	for _, word := range []string{"FROM", "COPY", "RUN", "USER", "VOLUME", "ENTRYPOINT", "CMD"} {
		assert.Positive(t, seen[word], word)
	}
}
