package main

import (
	"bytes"
	"html/template"
)

// htmlReport returns the whole report as one page that needs no other file, no
// script and no network.
func htmlReport(r *Report) ([]byte, error) {
	drawings, err := pictures(r)
	if err != nil {
		return nil, err
	}
	type figure struct {
		section
		SVG []template.HTML
	}
	var figures []figure
	for _, s := range sections(r) {
		f := figure{section: s}
		for _, p := range drawings {
			if p.name == s.name || p.name == "growth" && s.name == "scale" {
				f.SVG = append(f.SVG, inline(p.svg))
			}
		}
		figures = append(figures, f)
	}
	var b bytes.Buffer
	err = page.Execute(&b, map[string]any{"Report": r, "Figures": figures})
	return b.Bytes(), err
}

// inline returns an SVG, drawn by us, as it stands in HTML: without the
// declaration of XML.
func inline(svg []byte) template.HTML {
	return template.HTML(svg[bytes.Index(svg, []byte("<svg")):])
}

func (s section) Name() string    { return s.name }
func (s section) About() string   { return s.about }
func (s section) Rows() []row     { return s.rows }
func (s section) Notes() []string { return s.notes }

func (r row) Name() string     { return r.name }
func (r row) Unit() string     { return r.unit }
func (r row) Values() []string { return r.values }

var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>letterlock bench</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0 }
th, td { padding: .15em .8em; text-align: right; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
svg { max-width: 100%; height: auto }
.notes { font-size: 13px; color: #555; overflow-wrap: anywhere }
</style>
<h1>Mail servers at work</h1>
<p>{{.Report.When.Format "2006-01-02 15:04 MST"}}, {{.Report.Machine}}<br><code>{{.Report.Command}}</code></p>
<ul>{{range .Report.Servers}}<li>{{.Name}} {{.Version}} {{.Failed}}</li>{{end}}</ul>
{{range .Figures}}
<h2 id="{{.Name}}">{{.About}}</h2>
{{range .SVG}}{{.}}{{end}}
<table><tr><th></th>{{range $.Report.Servers}}<th>{{.Name}}</th>{{end}}<th></th></tr>
{{range .Rows}}<tr><td>{{.Name}}</td>{{range .Values}}<td>{{.}}</td>{{end}}<td>{{.Unit}}</td></tr>
{{end}}</table>
{{with .Notes}}<ul class="notes">{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
{{end}}
{{with .Report.Requests}}
<h2 id="requests">Requests of a store in a bucket</h2>
<table><tr><th></th><th>PUT</th><th>GET</th><th>LIST</th><th>HEAD</th><th>DELETE</th></tr>
{{range .}}<tr><td>{{.What}}</td><td>{{printf "%.2f" .Put}}</td><td>{{printf "%.2f" .Get}}</td><td>{{printf "%.2f" .List}}</td><td>{{printf "%.2f" .Head}}</td><td>{{printf "%.2f" .Delete}}</td></tr>
{{end}}</table>
{{end}}
</html>
`))
