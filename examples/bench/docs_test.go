package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDocumentedFigures holds docs/performance.md against the JSON beside it,
// which the command wrote: nobody may mend a figure by hand.
func TestDocumentedFigures(t *testing.T) {
	docs := filepath.Join("..", "..", "docs")
	text, err := os.ReadFile(filepath.Join(docs, "performance.md"))
	require.NoError(t, err)
	r, err := readReport(filepath.Join(docs, "performance", "bench.json"))
	require.NoError(t, err)
	require.Len(t, r.Servers, 3)
	tables := strings.Split(strings.TrimSpace(markdown(r)), "\n\n")
	require.Len(t, tables, 3, "headlines, requests, prices")
	for _, table := range tables {
		assert.Contains(t, string(text), table)
	}
	drawn, err := pictures(r)
	require.NoError(t, err)
	require.NotEmpty(t, drawn)
	for _, p := range drawn {
		svg, err := os.ReadFile(filepath.Join(docs, "performance", p.name+".svg"))
		require.NoError(t, err)
		if p.name != "growth" { // which is drawn from a run of its own
			assert.Equal(t, string(p.svg), string(svg), p.name)
		}
		assert.Contains(t, string(text), "performance/"+p.name+".svg")
	}
	grown, err := readReport(filepath.Join(docs, "performance", "growth.json"))
	require.NoError(t, err)
	svg, err := growth(grown)
	require.NoError(t, err)
	onDisk, err := os.ReadFile(filepath.Join(docs, "performance", "growth.svg"))
	require.NoError(t, err)
	assert.Equal(t, string(svg), string(onDisk))
}
