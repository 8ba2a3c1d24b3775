package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/examples/mailserver/internal/clitest"
)

var invoke, ok = clitest.Runners(commands())

// What cannot be asked for is refused in one line, with status 2.
func TestUsageErrors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	for want, args := range map[string][]string{
		"no command":                   {},
		`unknown command "sevre"`:      {"sevre"},
		`unknown command "account ad"`: {"account", "ad", "ann"},
		"the command comes first":      {"-store", dir, "serve"},
		"-store is missing":            {"serve"},
		"NAME is missing":              {"account", "add", "-store", dir},
		`incomplete command "account token"; did you mean ["account token add"`: {"account", "token"},
		"-max-conns and":                {"serve", "-store", dir, "-max-conns", "0"},
		"-cache-size is":                {"serve", "-store", dir, "-cache", dir, "-cache-size", "0"},
		"ID is missing":                 {"account", "token", "revoke", "ann", "-store", dir},
		"ADDRESS is missing":            {"deliver"},
		`unexpected argument "bob"`:     {"account", "add", "ann", "bob", "-store", dir},
		"flag provided but not defined": {"serve", "-stroe", dir},
		"-tls-cert without -tls-key":    {"serve", "-store", dir, "-tls-cert", "c.pem"},
		"-tls-key without -tls-cert":    {"serve", "-store", dir, "-tls-key", "k.pem"},
		"-imaps needs":                  {"serve", "-store", dir, "-imaps", "127.0.0.1:0"},
		"nothing to serve":              {"serve", "-store", dir, "-imap", "", "-lmtp", ""},
		"-log-format is text or json":   {"serve", "-store", dir, "-log-format", "xml"},
		"-recovery-file without":        {"check", "-store", dir, "-recovery-file", "r"},
		"-server-key must not be in":    {"account", "add", "ann", "-store", dir, "-server-key", filepath.Join(dir, "key")},
		"-server-key is missing":        {"serve", "-store", "s3://bucket"},
		"no angle brackets":             {"deliver", "a@b>"},
	} {
		r := invoke(t, "", args...)
		assert.Equal(t, cli.ExitUsage, r.Code, "%v", args)
		assert.Empty(t, r.Out, "%v", args)
		assert.Contains(t, r.Err, want, "%v", args)
		assert.Equal(t, 1, strings.Count(r.Err, "\n"), "%v: %s", args, r.Err)
	}
	assert.NoDirExists(t, dir)
}

func TestHelpOfEveryCommand(t *testing.T) {
	all := ok(t, "", "-h")
	for _, args := range [][]string{{"help"}, {"--help"}, {"account", "-h"}, {"account", "token", "help"}} {
		assert.Equal(t, all, ok(t, "", args...))
	}
	for _, c := range commands() {
		assert.Contains(t, all, c.Name)
		assert.Contains(t, all, c.About)
		text := ok(t, "", append(strings.Fields(c.Name), "-h")...)
		for _, part := range []string{"NAME\n    mailserver " + c.Name + " - ", "SYNOPSIS\n", "DESCRIPTION\n", "FLAGS\n    -", "EXIT STATUS\n"} {
			assert.Contains(t, text, part)
		}
		for line := range strings.Lines(text) {
			assert.LessOrEqual(t, len(line), 100, "%s: %q", c.Name, line)
			assert.LessOrEqual(t, strings.Count(line, "(default "), 1, "%s: %q", c.Name, line)
		}
	}
}

// What fails says why in one line, with status 1.
func TestFailures(t *testing.T) {
	t.Chdir(t.TempDir())
	ok(t, "secret\n", "account", "add", "ann", "-store", "mail")
	require.NoError(t, os.Mkdir("full", 0o700))
	require.NoError(t, os.WriteFile("full/letter.txt", []byte("x"), 0o600))
	require.NoError(t, os.WriteFile("file", []byte("AGE-SECRET-KEY-PQ-1WRONG\n"), 0o600))
	for want, run := range map[string]struct {
		stdin string
		args  []string
	}{
		"account ann: account exists":         {"x\n", []string{"account", "add", "ann", "-store", "mail"}},
		"account ANN: account exists":         {"x\n", []string{"account", "add", "ANN", "-store", "mail"}},
		"account bob: no such account":        {"x\n", []string{"account", "passwd", "bob", "-store", "mail"}},
		"account ann: wrong password":         {"x\n", []string{"account", "recovery", "ann", "-store", "mail"}},
		"account ann: no password on stand":   {"", []string{"account", "recovery", "ann", "-store", "mail"}},
		"no new password on standard input":   {"secret\n", []string{"account", "passwd", "ann", "-store", "mail"}},
		"an empty password is not allowed":    {"\n", []string{"account", "add", "eve", "-store", "mail"}},
		"password of more than 4096 bytes":    {strings.Repeat("x", 5000), []string{"account", "add", "eve", "-store", "mail"}},
		"has no spaces or control":            {"x\n", []string{"account", "add", "a b", "-store", "mail"}},
		`want "user" or "user@domain"`:        {"x\n", []string{"account", "add", "ann@", "-store", "mail"}},
		"there is no store in nowhere":        {"x\n", []string{"account", "list", "-store", "nowhere"}},
		"no store in full: the folder is not": {"x\n", []string{"check", "-store", "full"}},
		"neither empty nor a store":           {"x\n", []string{"account", "add", "ann", "-store", "full"}},
		"store file is not a folder":          {"x\n", []string{"account", "add", "ann", "-store", "file"}},
		"not a directory":                     {"x\n", []string{"account", "add", "ann", "-store", "file/mail"}},
		"no such token":                       {"secret\n", []string{"account", "token", "revoke", "ann", "x", "-store", "mail"}},
		"recovery file file: ":                {"", []string{"account", "recovery", "ann", "-store", "mail", "-recovery-file", "file"}},
		"recovery file: open gone":            {"", []string{"account", "recovery", "ann", "-store", "mail", "-recovery-file", "gone"}},
		"server key file: want 64":            {"", []string{"account", "list", "-store", "mail", "-server-key", "file"}},
		"there is no server key":              {"", []string{"account", "list", "-store", "mail", "-server-key", "gone"}},
		"certificate: stat gone":              {"", []string{"serve", "-store", "mail", "-tls-cert", "gone", "-tls-key", "file"}},
		"certificate file: ":                  {"", []string{"serve", "-store", "mail", "-tls-cert", "file", "-tls-key", "file"}},
		"no bucket; want s3://bucket/prefix":  {"", []string{"serve", "-store", "s3:/bucket/mail", "-server-key", "key"}},
		"s3":                                  {"", []string{"serve", "-store", "s3://bucket?endpoint=ftp://host", "-server-key", "key"}},
		"connection refused":                  {"", []string{"deliver", "ann", "-lmtp", "unix:file"}},
	} {
		r := invoke(t, run.stdin, run.args...)
		assert.Equal(t, cli.ExitFailed, r.Code, "%v", run.args)
		assert.Empty(t, r.Out, "%v", run.args)
		assert.Contains(t, r.Err, want, "%v", run.args)
		assert.Equal(t, 1, strings.Count(r.Err, "\n"), "%v: %s", run.args, r.Err)
		assert.NotContains(t, r.Err, "WRONG", "part of a secret")
	}
	assert.Equal(t, "ann\n", ok(t, "", "account", "list", "-store", "mail"))
	assert.NoDirExists(t, "nowhere")
}
