package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// naming lists the files that match a pattern, without tests, pages and folders.
func naming(t *testing.T, pattern string, within func(path string) bool) []string {
	t.Helper()
	match, files := regexp.MustCompile(pattern), []string{}
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if path = filepath.ToSlash(path); strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".md") ||
			!within(path) {
			return nil
		}
		text, err := os.ReadFile(path)
		if match.Match(text) {
			files = append(files, path)
		}
		return err
	}))
	return files
}

// CONTRIBUTING lists the files that name one event, and those outside of its folders that name one service: what
// another one would touch.
func TestContributingListsWhatAnEventAndAServiceTouch(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("CONTRIBUTING.md")
	require.NoError(t, err)
	for intro, files := range map[string][]string{
		"The event `portfolio.deleted` is named in": naming(t, `PortfolioDeleted|portfolio\.deleted`,
			func(path string) bool {
				return regexp.MustCompile(`^(events|services|process|store|bus|client|cmd|docs)/`).MatchString(path)
			}),
		"Outside of its folders the service `portfolio` is named in": naming(t,
			`stega/services/portfolio"|\bportfolio[-_.:\\]+(api|consumer|events|commands|dead)\b|ROLE `+
				`portfolio\b|"portfolio"`,
			func(path string) bool {
				return regexp.MustCompile(`^(process/|deploy/|compose\.yaml)`).MatchString(path)
			}),
	} {
		_, rest, found := strings.Cut(strings.Join(strings.Fields(string(page)), " "), intro)
		require.True(t, found, "%s, in %d files: %s", intro, len(files), strings.Join(files, ", "))
		list, _, _ := strings.Cut(rest, ". ")
		var listed []string
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(list, -1) {
			listed = append(listed, m[1])
		}
		slices.Sort(listed)
		assert.Equal(t, files, listed, intro)
		assert.Contains(t, list, fmt.Sprintf("%d files", len(files)))
	}
}
