package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	_ "image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampleReport has what a run may yield: two servers, one of which is not ours
// to restart and refuses things.
func sampleReport() *Report {
	curve := func(top int64) []Sample {
		var all []Sample
		for i := range int64(20) {
			all = append(all, Sample{At: float64(i) / 20, CPU: float64(i) / 25, Memory: top * (i % 7) << 20})
		}
		return all
	}
	return &Report{
		When: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Machine: "a machine", Command: "go run .",
		Servers: []ServerReport{
			{Name: "letterlock", Version: "1", Workloads: []Result{
				{Workload: "copy", About: "COPY", Wall: 1, Measures: []Measure{{"COPY", 2.5, "ms"}}, Samples: curve(10)},
				{Workload: "scale", About: "Folders", Measures: []Measure{{"1000: STORE", 1, "ms"}, {"10000: STORE", 1.2, "ms"}}, Samples: curve(5)},
			}},
			{Name: "other <b>", Version: "2", Workloads: []Result{
				{Workload: "copy", About: "COPY", Measures: []Measure{{"COPY", 71, "ms"}, {"MOVE", 80, "ms"}}, Samples: curve(30)},
				{Workload: "commands", About: "Commands", Skipped: "skipped: no account", Refused: []string{"FETCH 1 (MODSEQ): BAD"}},
			}},
		},
		Requests: []RequestCount{{What: "APPEND", Put: 2}},
	}
}

func TestReportFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench")
	r := sampleReport()
	require.NoError(t, writeReport(r, path))
	again, err := readReport(path + ".json")
	require.NoError(t, err)
	assert.Equal(t, r.Servers[0].Workloads[0].Measures, again.Servers[0].Workloads[0].Measures)
	assert.Equal(t, r.Requests, again.Requests)
	assert.Len(t, again.Servers[1].Workloads[0].Samples, 20)

	text, err := os.ReadFile(path + ".txt")
	require.NoError(t, err)
	assert.Regexp(t, `(?m)^ +COPY +2\.50 +71 +ms`, string(text))
	assert.Regexp(t, `(?m)^ +MOVE +- +80 +ms`, string(text))
	assert.Contains(t, string(text), "no account")
	assert.Contains(t, string(text), "refused FETCH 1 (MODSEQ)")

	html, err := os.ReadFile(path + ".html")
	require.NoError(t, err)
	assert.Contains(t, string(html), "other &lt;b&gt;")
	assert.NotContains(t, string(html), "other <b>")
	assert.Equal(t, 3, bytes.Count(html, []byte("<svg")), "copy, scale, growth")
	assert.NotContains(t, string(html), "<script")
	assert.NotContains(t, string(html), "src=")

	require.NoError(t, run(t.Context(), []string{"-render", path + ".json", "-out", path + "2"}, io.Discard))
	html2, err := os.ReadFile(path + "2.html")
	require.NoError(t, err)
	assert.Equal(t, string(html), string(html2))
}

func TestPicturesAreXML(t *testing.T) {
	all, err := pictures(sampleReport())
	require.NoError(t, err)
	require.NotEmpty(t, all)
	for _, p := range all {
		d := xml.NewDecoder(bytes.NewReader(p.svg))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, p.name)
		}
	}
}

// TestBrowserDraws looks at the page with a browser, and wants to see the curves.
func TestBrowserDraws(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		require.Empty(t, os.Getenv("BENCH_CHROMIUM"), "BENCH_CHROMIUM wants a browser, and there is no chromium")
		t.Skip("there is no chromium")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "bench")
	require.NoError(t, writeReport(sampleReport(), path))
	shot := filepath.Join(dir, "shot.png")
	out, err := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
		"--user-data-dir="+filepath.Join(dir, "profile"), "--window-size=1000,1600", "--screenshot="+shot, "file://"+path+".html").CombinedOutput()
	require.NoError(t, err, "%s", out)
	f, err := os.Open(shot)
	require.NoError(t, err)
	defer f.Close()
	img, _, err := image.Decode(f)
	require.NoError(t, err)
	for i, c := range colours[:2] {
		assert.Greater(t, count(img, c.RGBA), 200, "points of the curve of server %d", i)
	}
}

func count(img image.Image, want func() (r, g, b, a uint32)) int {
	r, g, b, _ := want()
	n := 0
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			if r1, g1, b1, _ := img.At(x, y).RGBA(); r1 == r && g1 == g && b1 == b {
				n++
			}
		}
	}
	return n
}

func TestFigure(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 0.057: "0.06", 1: "1", 12.345: "12.3", 123.45: "123", -4.2: "-4.20"} {
		assert.Equal(t, want, figure(x))
	}
}

func TestCommandLine(t *testing.T) {
	got := commandLine([]string{"-servers", "dovecot", "-out", "/a/b", "--dir=/c", "-accounts", "ann:secret", "-quick"})
	assert.Equal(t, "go run . -servers dovecot -quick", got)
}
