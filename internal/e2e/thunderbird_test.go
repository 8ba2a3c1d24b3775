//go:build clients

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// thunderbirdPrefs are the settings of an account, and what keeps a first start
// quiet. The ports are the server's, and one that is free.
// Without motion the picture is of a window at rest.
const thunderbirdPrefs = `
mail.accountmanager.accounts "account1"
mail.accountmanager.defaultaccount "account1"
mail.account.account1.identities "id1"
mail.account.account1.server "server1"
mail.identity.id1.fullName "Ann"
mail.identity.id1.useremail "ann@example.org"
mail.identity.id1.valid true
mail.server.server1.type "imap"
mail.server.server1.hostname "127.0.0.1"
mail.server.server1.port %s
mail.server.server1.userName "ann"
mail.server.server1.name "ann"
mail.server.server1.socketType 0
mail.server.server1.authMethod 3
mail.server.server1.login_at_startup false
mail.server.server1.check_new_mail false
mail.server.server1.use_condstore true
mail.shell.checkDefaultClient false
mail.rights.version 1
mailnews.start_page.enabled false
mailnews.start_page_override.mstone "ignore"
app.donation.eoy.version.viewed 999
app.update.enabled false
datareporting.policy.dataSubmissionEnabled false
datareporting.policy.dataSubmissionPolicyBypassNotification true
network.captive-portal-service.enabled false
network.connectivity-service.enabled false
extensions.update.enabled false
services.settings.server "data:,#remote-settings-dummy/v1"
ui.prefersReducedMotion 1
marionette.port 0
`

// thunderbird is one run of Thunderbird.
type thunderbird struct {
	*marionette
	ended chan error
}

// display starts an X server without a screen, and returns its name.
func display(t *testing.T) string {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	c := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x800x24", "-nolisten", "tcp")
	c.ExtraFiles = []*os.File{w}
	require.NoError(t, c.Start(), "the tests of real clients need it")
	w.Close()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	require.NoError(t, r.SetReadDeadline(time.Now().Add(patience)))
	number, err := bufio.NewReader(r).ReadString('\n') // all of it: Xvfb dies of a pipe closed in between
	require.NoError(t, err)
	return ":" + strings.TrimSpace(number)
}

// startThunderbird starts it with the profile in a folder, and waits until it can
// be driven.
func startThunderbird(t *testing.T, display, home string) *thunderbird {
	t.Helper()
	profile := filepath.Join(home, "profile")
	port := filepath.Join(profile, "MarionetteActivePort")
	require.NoError(t, os.RemoveAll(port))
	c := exec.Command("thunderbird", "--marionette", "-remote-allow-system-access", "--no-remote", "--profile", profile)
	c.Env = append(os.Environ(), "HOME="+home, "DISPLAY="+display, "LC_ALL=C.UTF-8", "MOZ_LOG=IMAP:5", "MOZ_LOG_FILE="+filepath.Join(home, "log"))
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said := filepath.Join(home, "said")
	out, err := os.Create(said)
	require.NoError(t, err)
	defer out.Close()
	c.Stdout, c.Stderr = out, out // a file: helpers that outlive it hold no pipe open
	require.NoError(t, c.Start(), "the tests of real clients need it")
	b := &thunderbird{ended: make(chan error, 1)}
	go func() { b.ended <- c.Wait(); close(b.ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // with its helpers, if they are still there
		<-b.ended
		if t.Failed() {
			text, _ := os.ReadFile(said)
			t.Logf("Thunderbird said:\n%s", text)
		}
	})
	var number string
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(port)
		number = strings.TrimSpace(string(text))
		return err == nil && number != ""
	}, 4*patience, 50*time.Millisecond, "it cannot be driven")
	b.marionette = dialMarionette(t, number)
	b.do(t, nil, "WebDriver:NewSession", map[string]any{"capabilities": map[string]any{}})
	b.do(t, nil, "Marionette:SetContext", map[string]any{"value": "chrome"})
	b.do(t, nil, "WebDriver:SetTimeouts", map[string]any{"script": 120000})
	return b
}

// step runs a step of testdata/thunderbird.js.
func (b *thunderbird) step(t *testing.T, name string, args ...any) {
	t.Helper()
	script, err := os.ReadFile("testdata/thunderbird.js")
	require.NoError(t, err)
	var failed *string
	b.do(t, &failed, "WebDriver:ExecuteAsyncScript", map[string]any{"script": string(script), "args": append([]any{name}, args...)})
	if failed != nil {
		require.FailNow(t, name, "%s", *failed)
	}
}

// quit ends Thunderbird and returns the commands that it gave.
func (b *thunderbird) quit(t *testing.T, home string) []string {
	t.Helper()
	b.do(t, nil, "Marionette:Quit", map[string]any{"flags": []string{"eAttemptQuit"}})
	select {
	case <-b.ended:
	case <-time.After(4 * patience):
		require.FailNow(t, "it does not end")
	}
	logs, err := filepath.Glob(filepath.Join(home, "log*"))
	require.NoError(t, err)
	var sent []string
	for _, name := range logs {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.Remove(name))
		sent = append(sent, matching(strings.Split(string(text), "\n"), "SendData: ")...)
	}
	return sent
}

// Thunderbird shows an inbox and follows it while it waits, tells the server
// what its user does, and comes back to an inbox that changed.
func TestThunderbird(t *testing.T) {
	picture := os.Getenv("LETTERLOCK_THUNDERBIRD")
	if picture == "" {
		t.Skip("LETTERLOCK_THUNDERBIRD names no file for its picture")
	}
	dir := newStore(t)
	s := start(t, dir)
	c := dial(t, s.imap, nil)
	add := func(id string) {
		t.Helper()
		_, _, err := appendMail(c, "INBOX", mail(id))
		require.NoError(t, err)
	}
	remove := func(id string) {
		t.Helper()
		require.NoError(t, c.Store(uidOf(t, c, "INBOX", id), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
		require.NoError(t, c.Expunge().Close())
	}
	for _, id := range []string{"one", "two", "three", "four"} {
		add(id)
	}

	home, x := t.TempDir(), display(t)
	_, port := hostPort(t, s.imap)
	require.NoError(t, os.Mkdir(filepath.Join(home, "profile"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(home, "profile", "user.js"), prefs(port), 0o600))
	b := startThunderbird(t, x, home)
	b.step(t, "password", "127.0.0.1", "ann", password)
	b.step(t, "open", "127.0.0.1", "ann")
	b.step(t, "listed", []string{"about one", "about two", "about three", "about four"})
	b.step(t, "show", "about two")
	eventually(t, "the message is read", func() bool { return hasFlag(t, c, "two", imap.FlagSeen) })
	b.step(t, "flag", "about three")
	eventually(t, "the message is flagged", func() bool { return hasFlag(t, c, "three", imap.FlagFlagged) })
	add("five")
	remove("one")
	b.step(t, "listed", []string{"about two", "about three", "about four", "about five"})
	var shot []byte // JSON has it in base64
	b.do(t, &shot, "WebDriver:TakeScreenshot", map[string]any{"full": true})
	_, err := png.Decode(bytes.NewReader(shot))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(picture, shot, 0o600))
	sent := b.quit(t, home)
	assert.NotEmpty(t, matching(sent, " COMPRESS DEFLATE"), "%q", sent)
	assert.NotEmpty(t, matching(sent, " IDLE"), "%q", sent)

	add("six")
	remove("four")
	b = startThunderbird(t, x, home)
	b.step(t, "open", "127.0.0.1", "ann")
	b.step(t, "listed", []string{"about two", "about three", "about five", "about six"})
	sent = b.quit(t, home)
	assert.NotEmpty(t, matching(sent, "(CHANGEDSINCE "), "%q", sent)
	s.stop(t)
	checked(t, dir)
}

// prefs returns the settings as a file of a profile.
func prefs(port string) []byte {
	var out bytes.Buffer
	for line := range strings.Lines(strings.TrimSpace(fmt.Sprintf(thunderbirdPrefs, port))) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		fmt.Fprintf(&out, "user_pref(%q, %s);\n", name, value)
	}
	return out.Bytes()
}

// hasFlag says whether a message of the inbox has a flag.
func hasFlag(t *testing.T, c *imapclient.Client, id string, flag imap.Flag) bool {
	t.Helper()
	mails, _ := list(t, c, "INBOX")
	for _, m := range mails {
		for _, f := range m.Flags {
			if m.ID == id && f == flag {
				return true
			}
		}
	}
	return false
}
