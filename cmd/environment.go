package cmd

import (
	"os"
	"path/filepath"
)

// userFolder is a folder of the user: the one that a variable of the XDG base directories names, else the one in the
// home; false when neither is known.
func userFolder(variable string, inHome ...string) (string, bool) {
	if v := os.Getenv(variable); v != "" {
		return v, filepath.IsAbs(v)
	}
	home, err := os.UserHomeDir()
	return filepath.Join(append([]string{home}, inHome...)...), err == nil
}

// dataFolder is where "stega up" keeps its data when nothing else is said.
func dataFolder() string {
	if v := os.Getenv("STEGA_DATA"); v != "" {
		return v
	}
	if dir, ok := userFolder("XDG_DATA_HOME", ".local", "share"); ok {
		return filepath.Join(dir, "stega")
	}
	return "stega-data"
}

// env is an environment variable of this process, or what stands for it.
func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
