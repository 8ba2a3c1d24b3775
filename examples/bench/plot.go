package main

import (
	"bytes"
	"fmt"
	"image/color"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// picture is one SVG.
type picture struct {
	name  string // of the workload it belongs to, or "growth"
	title string
	svg   []byte
}

// pictures draws a report: for each workload memory and CPU over time, and how
// the time of commands grows with the folder.
func pictures(r *Report) ([]picture, error) {
	var all []picture
	for _, w := range workloads() {
		svg, err := overTime(r, w.name)
		if err != nil {
			return nil, fmt.Errorf("draw %s: %w", w.name, err)
		}
		if svg != nil {
			all = append(all, picture{w.name, w.about, svg})
		}
	}
	svg, err := growth(r)
	if err != nil {
		return nil, fmt.Errorf("draw growth: %w", err)
	}
	if svg != nil {
		all = append(all, picture{"growth", "How commands grow with the folder", svg})
	}
	return all, nil
}

// Colours that people who see few of them can tell apart (Okabe and Ito).
var colours = []color.Color{
	color.RGBA{0, 114, 178, 255}, color.RGBA{213, 94, 0, 255}, color.RGBA{0, 158, 115, 255},
	color.RGBA{204, 121, 167, 255}, color.RGBA{86, 180, 233, 255}, color.RGBA{230, 159, 0, 255},
}

// curve is a line of a plot.
type curve struct {
	name   string
	points plotter.XYs
}

// overTime draws a workload's memory and CPU, a curve for each server. It returns
// nil if nobody has samples of it.
func overTime(r *Report, workload string) ([]byte, error) {
	var memory, cpu []curve
	for _, s := range r.Servers {
		for _, w := range s.Workloads {
			if w.Workload != workload || len(w.Samples) < 2 {
				continue
			}
			m, c := curve{name: s.Name}, curve{name: s.Name}
			last := w.Samples[0]
			for _, x := range w.Samples {
				m.points = append(m.points, plotter.XY{X: x.At, Y: float64(x.Memory) / (1 << 20)})
				// CPU time is counted in hundredths of a second: over less than
				// the interval of the sampler a tick would look like a storm.
				if x.At-last.At >= interval.Seconds() {
					used := max(x.CPU-last.CPU, 0) // less, where a server was started anew
					c.points = append(c.points, plotter.XY{X: x.At, Y: used * 100 / (x.At - last.At)})
					last = x
				}
			}
			memory, cpu = append(memory, m), append(cpu, c)
		}
	}
	if len(memory) == 0 {
		return nil, nil
	}
	top, err := lines("memory, MB", "", memory)
	if err != nil {
		return nil, err
	}
	bottom, err := lines("CPU, %", "seconds", cpu)
	if err != nil {
		return nil, err
	}
	bottom.Legend = plot.NewLegend() // the one above is enough
	return drawn(vg.Points(620), vg.Points(300), [][]*plot.Plot{{top}, {bottom}})
}

func lines(y, x string, curves []curve) (*plot.Plot, error) {
	p := plot.New()
	p.Y.Label.Text, p.X.Label.Text = y, x
	p.Add(plotter.NewGrid())
	for i, c := range curves {
		if len(c.points) == 0 {
			continue
		}
		l, err := plotter.NewLine(c.points)
		if err != nil {
			return nil, err
		}
		l.Color = colours[i%len(colours)]
		l.Width = vg.Points(1.2)
		p.Add(l)
		p.Legend.Add(c.name, l)
	}
	p.X.Min, p.Y.Min = 0, 0
	p.Legend.Top, p.Legend.Left = true, true // to the right the text has no room in another font
	return p, nil
}

// growthSteps are the measures of the scale workload that growth shows.
var growthSteps = []string{"login and SELECT, cold", "SELECT, warm", "STORE", "APPEND"}

// growth draws the time of commands by the number of messages, both on a
// logarithmic scale, a plot for each server.
func growth(r *Report) ([]byte, error) {
	var row []*plot.Plot
	for _, s := range r.Servers {
		var curves []curve
		for _, step := range growthSteps {
			c := curve{name: step}
			for _, n := range fullCounts().scale {
				if m, ok := s.measure("scale", fmt.Sprintf("%d: %s", n, step)); ok && m.Value > 0 {
					c.points = append(c.points, plotter.XY{X: float64(n), Y: m.Value})
				}
			}
			if len(c.points) > 1 {
				curves = append(curves, c)
			}
		}
		if len(curves) == 0 {
			continue
		}
		p, err := lines("ms", "messages", curves)
		if err != nil {
			return nil, err
		}
		p.Title.Text = s.Name
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.X.Min = curves[0].points[0].X
		p.Y.Min, p.Y.Max = 0.05, 1000 // the same for all servers
		row = append(row, p)
	}
	if len(row) == 0 {
		return nil, nil
	}
	return drawn(vg.Points(float64(310*len(row))), vg.Points(260), [][]*plot.Plot{row})
}

// drawn returns plots in rows as SVG.
func drawn(w, h vg.Length, rows [][]*plot.Plot) ([]byte, error) {
	c := vgsvg.New(w, h)
	tiles := draw.Tiles{Rows: len(rows), Cols: len(rows[0]), PadX: vg.Points(8), PadY: vg.Points(8), PadRight: vg.Points(8)}
	canvases := plot.Align(rows, tiles, draw.New(c))
	for i := range rows {
		for j, p := range rows[i] {
			p.Draw(canvases[i][j])
		}
	}
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, err
	}
	// The library's own font is on few machines.
	return []byte(strings.ReplaceAll(b.String(), "font-family:Liberation Serif", "font-family:sans-serif")), nil
}
