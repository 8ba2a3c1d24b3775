package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gomessage "github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"
	"github.com/stretchr/testify/require"
)

// moduleMails is how many different mails the modules of internal/corpus hold. It is
// fixed, so that one that is not read any more is noticed.
const moduleMails = 197

var updateDifferences = flag.Bool("update-differences", false, "print the differences that testdata/differences.txt lacks")

// TestDifferential reads the mails that other Go projects test with, and compares what
// is read with what go-message reads, and Python's email package where it is there.
// Differences that are ours on purpose, or faults of the other, are in
// testdata/differences.txt with the reason for each.
func TestDifferential(t *testing.T) {
	mails := mailsOfModules(t)
	require.Equal(t, moduleMails, len(mails))
	ours := map[string]reading{}
	for name, raw := range mails {
		m := scanAll(raw)
		requireSound(t, m, raw)
		ours[name] = readOurs(m, raw)
	}
	var found []string
	readers := map[string]map[string]reading{"go-message": {}, "python": readByPython(t, mails)}
	for name, raw := range mails {
		if r, ok := readByGoMessage(raw); ok {
			readers["go-message"][name] = r
		}
	}
	require.Greater(t, len(readers["go-message"]), moduleMails*8/10)
	for _, reader := range slices.Sorted(maps.Keys(readers)) {
		for _, name := range slices.Sorted(maps.Keys(readers[reader])) {
			for _, aspect := range ours[name].differs(readers[reader][name]) {
				found = append(found, reader+" "+aspect+" "+name)
				if *updateDifferences {
					t.Logf("%s %s %s\nours   %q\nothers %q", reader, aspect, name, ours[name][aspect], readers[reader][name][aspect])
				}
			}
		}
	}
	accepted := acceptedDifferences(t, readers["python"] != nil)
	for _, d := range found {
		require.Contains(t, accepted, d, "a difference that is not accepted")
	}
	for d := range accepted {
		require.Contains(t, found, d, "a difference that is no more")
	}
}

// reading is what one program reads of a mail, by aspect. Aspects that it cannot read are
// missing.
type reading map[string]string

func (r reading) differs(o reading) (aspects []string) {
	for _, aspect := range slices.Sorted(maps.Keys(o)) {
		if r[aspect] != o[aspect] {
			aspects = append(aspects, aspect)
		}
	}
	return aspects
}

func sum(b []byte) string {
	h := sha256.Sum256(bytes.TrimRight(bytes.ReplaceAll(b, []byte("\r"), nil), "\n"))
	return hex.EncodeToString(h[:6])
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func readOurs(m *Message, raw []byte) reading {
	h := m.HeaderFields()
	e := ParseEnvelope(h)
	r := reading{"subject": squeeze(h.Decode(e.Subject)), "date": "", "from": ""}
	if d, ok := h.Date(); ok {
		r["date"] = fmt.Sprint(d.Unix())
	}
	for _, a := range e.From {
		r["from"] += " " + a.Mailbox + "@" + a.Host
	}
	var tree, bodies []string
	var walk func(p *Part)
	walk = func(p *Part) {
		tree = append(tree, p.Type+"/"+p.Subtype)
		switch {
		case p.IsMessage():
			tree = append(tree, "[")
			walk(p.Children[0])
			tree = append(tree, "]")
		case p.IsMultipart():
			tree = append(tree, "(")
			for _, c := range p.Children {
				walk(c)
			}
			tree = append(tree, ")")
		default:
			body := raw[p.BodyOffset:p.end()]
			if b, err := io.ReadAll(p.Decode(bytes.NewReader(body))); err == nil {
				body = b
			}
			name := paramValue(p.DispositionParams, "filename")
			if name == "" {
				name = p.Param("name")
			}
			bodies = append(bodies, sum(body)+" "+squeeze(DecodeHeader(name)))
		}
	}
	walk(m.Root)
	r["tree"], r["bodies"] = strings.Join(tree, " "), strings.Join(bodies, "\n")
	return r
}

// readByGoMessage reports false for a mail that go-message does not read to its end.
func readByGoMessage(raw []byte) (reading, bool) {
	e, err := gomessage.Read(bytes.NewReader(raw))
	if e == nil || err != nil && !gomessage.IsUnknownCharset(err) && !gomessage.IsUnknownEncoding(err) {
		return nil, false
	}
	h := mail.Header{Header: e.Header}
	r := reading{}
	if s, err := h.Subject(); err == nil {
		r["subject"] = squeeze(s)
	}
	if d, err := h.Date(); err == nil && !d.IsZero() {
		r["date"] = fmt.Sprint(d.Unix())
	}
	if list, err := h.AddressList("From"); err == nil && len(list) > 0 {
		r["from"] = ""
		for _, a := range list {
			r["from"] += " " + a.Address
		}
	}
	var tree, bodies []string
	if err := walkGoMessage(e, &tree, &bodies); err != nil {
		return nil, false
	}
	r["tree"], r["bodies"] = strings.Join(tree, " "), strings.Join(bodies, "\n")
	return r, true
}

func walkGoMessage(e *gomessage.Entity, tree, bodies *[]string) error {
	typ, params, _ := e.Header.ContentType()
	*tree = append(*tree, strings.ToLower(typ))
	if mr := e.MultipartReader(); mr != nil {
		*tree = append(*tree, "(")
		for {
			c, err := mr.NextPart()
			if errors.Is(err, io.EOF) {
				*tree = append(*tree, ")")
				return nil
			}
			if c == nil {
				return err
			}
			if err := walkGoMessage(c, tree, bodies); err != nil {
				return err
			}
		}
	}
	body, err := io.ReadAll(e.Body)
	if err != nil {
		return err
	}
	if strings.EqualFold(typ, "message/rfc822") {
		inner, err := gomessage.Read(bytes.NewReader(body))
		if inner == nil {
			return err
		}
		*tree = append(*tree, "[")
		err = walkGoMessage(inner, tree, bodies)
		*tree = append(*tree, "]")
		return err
	}
	_, disposition, _ := e.Header.ContentDisposition()
	name := disposition["filename"]
	if name == "" {
		name = params["name"]
	}
	*bodies = append(*bodies, sum(body)+" "+squeeze(DecodeHeader(name)))
	return nil
}

// readByPython returns nil if there is no Python, which must be there in CI.
func readByPython(t *testing.T, mails map[string][]byte) map[string]reading {
	python, err := exec.LookPath("python3")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "python3 must be there in CI")
		return nil
	}
	in, err := json.Marshal(mails)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), python, "testdata/differential.py")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	var readings map[string]reading
	require.NoError(t, json.Unmarshal(out, &readings))
	require.Greater(t, len(readings), len(mails)*9/10)
	return readings
}

// acceptedDifferences reads testdata/differences.txt: a paragraph for each reason, which
// begins with "#", with a line for each difference.
func acceptedDifferences(t *testing.T, python bool) map[string]bool {
	text, err := os.ReadFile("testdata/differences.txt")
	require.NoError(t, err)
	list := map[string]bool{}
	reason := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			reason = false
		case strings.HasPrefix(line, "#"):
			reason = true
		case python || !strings.HasPrefix(line, "python "):
			require.True(t, reason, "%s: no reason stands before it", line)
			list[line] = true
		}
	}
	return list
}

// mailsOfModules returns the mails of the modules that internal/corpus pins, by module
// and place: files, and texts of their tests.
func mailsOfModules(t *testing.T) map[string][]byte {
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json")
	cmd.Dir = "../../internal/corpus"
	out, err := cmd.Output()
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("the modules of internal/corpus are not there: %v", err)
	}
	require.NoError(t, err)
	mails, seen := map[string][]byte{}, map[string]bool{}
	add := func(name string, raw []byte) {
		if key := string(raw); !seen[key] {
			seen[key] = true
			mails[name] = raw
		}
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var module struct{ Path, Dir string }
		if err := d.Decode(&module); err == io.EOF {
			break
		}
		require.NotEmpty(t, module.Dir)
		err := filepath.WalkDir(module.Dir, func(file string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			name := module.Path + filepath.ToSlash(strings.TrimPrefix(file, module.Dir))
			if strings.HasSuffix(file, "_test.go") {
				for i, text := range mailTexts(b) {
					add(fmt.Sprintf("%s#%d", name, i), []byte(text))
				}
			} else if slices.Contains([]string{".eml", ".raw", ".txt", ".msg", ""}, filepath.Ext(file)) && looksLikeMail(string(b)) {
				add(name, b)
			}
			return nil
		})
		require.NoError(t, err)
	}
	return mails
}

var (
	fieldLine = regexp.MustCompile(`^[!-9;-~]+[ \t]*:`)
	mailField = regexp.MustCompile(`(?im)^(From|To|Subject|Date|Content-Type|MIME-Version|Message-ID|Received):`)
)

// looksLikeMail reports whether a text begins with two or more header fields, one of
// which is of mail.
func looksLikeMail(s string) bool {
	head, _, ok := strings.Cut(strings.ReplaceAll(s, "\r\n", "\n"), "\n\n")
	n := 0
	for line := range strings.SplitSeq(head, "\n") {
		switch {
		case n > 0 && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")):
		case !fieldLine.MatchString(line):
			return false
		default:
			n++
		}
	}
	return ok && n >= 2 && mailField.MatchString(head)
}

// mailTexts returns the constant texts of a Go file that look like mail.
func mailTexts(source []byte) (texts []string) {
	f, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	if err != nil {
		return nil
	}
	ast.Inspect(f, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		s, ok := constantText(e)
		if ok && looksLikeMail(strings.TrimLeft(s, "\r\n")) {
			texts = append(texts, strings.TrimLeft(s, "\r\n"))
		}
		return !ok
	})
	return texts
}

func constantText(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			return constant.StringVal(constant.MakeFromLiteral(e.Value, token.STRING, 0)), true
		}
	case *ast.BinaryExpr:
		a, ok1 := constantText(e.X)
		b, ok2 := constantText(e.Y)
		return a + b, ok1 && ok2 && e.Op == token.ADD
	}
	return "", false
}
