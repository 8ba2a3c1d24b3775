package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Report is what a run saw. It is what the JSON file holds.
type Report struct {
	When     time.Time      `json:"when"`
	Machine  string         `json:"machine"`
	Command  string         `json:"command"`
	Servers  []ServerReport `json:"servers"`
	Requests []RequestCount `json:"requests,omitempty"`
}

// ServerReport is what a run saw of one server.
type ServerReport struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	Failed    string   `json:"failed,omitempty"`
	Workloads []Result `json:"workloads"`
}

// Result is what a run saw of one workload on one server.
type Result struct {
	Workload string    `json:"workload"`
	About    string    `json:"about"`
	Wall     float64   `json:"wall"` // seconds
	Skipped  string    `json:"skipped,omitempty"`
	Failed   string    `json:"failed,omitempty"`
	Measures []Measure `json:"measures,omitempty"`
	Phases   []Phase   `json:"phases,omitempty"`
	Refused  []string  `json:"refused,omitempty"` // commands
	Samples  []Sample  `json:"samples,omitempty"`
}

// Measure is one figure.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Phase is a part of a workload, in seconds since its begin.
type Phase struct {
	Name string  `json:"name"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

func newReport() *Report {
	return &Report{When: time.Now().UTC().Truncate(time.Second), Machine: machine(), Command: commandLine(os.Args[1:])}
}

// commandLine is what to type to do the same again, but for where things lie on
// this machine and for secrets.
func commandLine(args []string) string {
	line := "go run ."
	for i := 0; i < len(args); i++ {
		name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch name {
		case "out", "dir", "mailserver", "accounts", "store":
			if !joined {
				i++ // the value is the next argument
			}
		default:
			line += " " + args[i]
		}
	}
	return line
}

func machine() string {
	kernel, err := exec.Command("uname", "-sr").Output()
	if err != nil {
		kernel = []byte(runtime.GOOS)
	}
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(b), "model name"); ok {
			line, _, _ := strings.Cut(after, "\n")
			model = strings.Trim(line, "\t :")
		}
	}
	load := "unknown"
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(b), " ")
	}
	return fmt.Sprintf("%s, %d CPUs, %s, %s, load %s before it began", model, runtime.NumCPU(), bytes.TrimSpace(kernel), runtime.Version(), load)
}

// maxSamples of a workload are kept: as many as a plot can show.
const maxSamples = 150

// thin keeps about n of some samples: of each run of neighbours the one with the
// most memory, so that peaks stay, and the first and the last.
func thin(samples []Sample, n int) []Sample {
	if len(samples) <= n {
		return samples
	}
	step := (len(samples) + n - 1) / n
	kept := samples[:1:1]
	for i := 1; i < len(samples)-1; i += step {
		top := samples[i]
		for _, s := range samples[i:min(i+step, len(samples)-1)] {
			if s.Memory > top.Memory {
				top = s
			}
		}
		kept = append(kept, top)
	}
	return append(kept, samples[len(samples)-1])
}

func readReport(file string) (*Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(r.Servers) == 0 {
		return nil, fmt.Errorf("%s: no server in it", file)
	}
	return r, nil
}

// writeReport writes path.json, path.txt, path.md and path.html.
func writeReport(r *Report, path string) error {
	text, err := encodeReport(r)
	if err != nil {
		return err
	}
	page, err := htmlReport(r)
	if err != nil {
		return err
	}
	for suffix, b := range map[string][]byte{".json": text, ".txt": []byte(textTable(r)), ".md": []byte(markdown(r)), ".html": page} {
		if err := os.WriteFile(path+suffix, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writePictures writes the plots into a folder, as files named for a workload.
func writePictures(r *Report, dir string) error {
	all, err := pictures(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range all {
		if err := os.WriteFile(filepath.Join(dir, p.name+".svg"), p.svg, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// encodeReport returns a report as JSON with a line for each object of no depth:
// short, and a change of it can be read.
func encodeReport(r *Report) ([]byte, error) {
	rounded := *r
	rounded.Servers = nil
	for _, s := range r.Servers {
		s.Workloads = append([]Result(nil), s.Workloads...)
		for i := range s.Workloads {
			s.Workloads[i] = s.Workloads[i].rounded()
		}
		rounded.Servers = append(rounded.Servers, s)
	}
	flat, err := json.Marshal(&rounded)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, part := range strings.SplitAfter(string(flat), "},") {
		b.WriteString(part + "\n")
	}
	return b.Bytes(), nil
}

// rounded leaves out digits that mean nothing.
func (r Result) rounded() Result {
	r.Wall = round(r.Wall, 3)
	r.Measures = append([]Measure(nil), r.Measures...)
	for i := range r.Measures {
		r.Measures[i].Value = round(r.Measures[i].Value, 3)
	}
	r.Phases = append([]Phase(nil), r.Phases...)
	for i := range r.Phases {
		r.Phases[i].From, r.Phases[i].To = round(r.Phases[i].From, 3), round(r.Phases[i].To, 3)
	}
	r.Samples = append([]Sample(nil), r.Samples...)
	for i := range r.Samples {
		r.Samples[i].At, r.Samples[i].CPU = round(r.Samples[i].At, 3), round(r.Samples[i].CPU, 2)
	}
	return r
}
