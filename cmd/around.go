package cmd

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
)

// A command takes what is around it from globals and from the writers that cobra gives it, never from the process: the daemon runs commands of
// others, each with the environment and the terminal of whoever typed it.

// getenv is an environment variable of whoever typed the command.
func (g *globals) getenv(name string) string {
	if g.asks != nil {
		return g.asks.Env[name]
	}
	return os.Getenv(name)
}

// userFolder is a folder of the user: the one that a variable of the XDG base directories names, else the one in the home; false when neither is known.
func (g *globals) userFolder(variable string, inHome ...string) (string, bool) {
	if v := g.getenv(variable); v != "" {
		return v, filepath.IsAbs(v)
	}
	home := g.getenv("HOME")
	return filepath.Join(append([]string{home}, inHome...)...), home != ""
}

// dataFolder is where "stega up" keeps its data when nothing else is said.
func (g *globals) dataFolder() string {
	if v := g.getenv("STEGA_DATA"); v != "" {
		return v
	}
	if dir, ok := g.userFolder("XDG_DATA_HOME", ".local", "share"); ok {
		return filepath.Join(dir, "stega")
	}
	return "stega-data"
}

// screen is the standard output of a command that the daemon runs: what is written is kept, and it is as wide as the terminal of whoever typed it.
type screen struct {
	bytes.Buffer
	columns int // 0: no terminal
	env     map[string]string
}

// setting is an environment variable of whoever looks at a writer.
func setting(w io.Writer, name string) string {
	if s, ok := w.(*screen); ok {
		return s.env[name]
	}
	return os.Getenv(name)
}

// env is an environment variable of this process, or what stands for it.
func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
