package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// files returns the project's files whose names end with suffix, with their contents.
func files(t *testing.T, suffix string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, suffix) {
			return nil
		}
		content, err := os.ReadFile(path)
		found[path] = string(content)
		return err
	}))
	return found
}

// Lines of Markdown have at most 100 characters. Rows of tables and blocks of code may be longer.
func TestMarkdownIsNarrow(t *testing.T) {
	t.Parallel()
	for path, content := range files(t, ".md") {
		code, long := false, []int(nil)
		for n, line := range strings.Split(content, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				code = !code
			}
			if !code && !strings.HasPrefix(line, "|") && utf8.RuneCountInString(line) > 100 {
				long = append(long, n+1)
			}
		}
		assert.Empty(t, long, "lines of %s", path)
	}
}

// Each guarantee of ARCHITECTURE.md names tests that exist: functions, or cases of a suite in quotes.
func TestEachGuaranteeNamesATest(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "\n## Guarantees\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	var code strings.Builder
	for _, content := range files(t, ".go") {
		code.WriteString(content)
	}
	name, suiteCase := regexp.MustCompile("`(Test[A-Za-z0-9]+)`"), regexp.MustCompile(`"([^"]+)"`)
	rows := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || !strings.HasPrefix(cells[1], " ") || strings.HasPrefix(cells[1], " guarantee") ||
			strings.HasPrefix(cells[1], " ---") {
			continue
		}
		rows++
		shown := cells[3]
		functions, cases := name.FindAllStringSubmatch(shown, -1), suiteCase.FindAllStringSubmatch(shown, -1)
		assert.NotEmpty(t, append(functions, cases...), "no test is named in: %s", line)
		for _, f := range functions {
			assert.Contains(t, code.String(), "func "+f[1]+"(t *testing.T)", "%s", line)
		}
		for _, c := range cases {
			assert.Contains(t, code.String(), `{"`+c[1]+`"`, "%s", line)
		}
	}
	assert.Equal(t, 10, rows)
}
