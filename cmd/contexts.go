package cmd

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stega/fault"
)

// contexts are the servers that a user has given names, as they are kept in the file config.json.
type contexts struct {
	Current  string              `json:"current,omitempty"`
	Contexts map[string]endpoint `json:"contexts"`
}

type endpoint struct {
	URL   string `json:"url"`
	Token string `json:"token,omitempty"`
	clientTLS
}

// configFile is where contexts are kept.
func (g *globals) configFile() (string, error) {
	dir, ok := userFolder("XDG_CONFIG_HOME", ".config")
	if !ok {
		return "", fault.Usage("home_unknown", "it is not known where your configuration belongs").
			WithHint("set HOME or XDG_CONFIG_HOME")
	}
	return filepath.Join(dir, "stega", "config.json"), nil
}

// readContexts reads them; no file is no contexts.
func (g *globals) readContexts() (contexts, error) {
	c := contexts{Contexts: map[string]endpoint{}}
	path, err := g.configFile()
	if err != nil {
		return c, nil //nolint:nilerr // without a home there are none
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fault.Usage("config_unreadable", "the contexts in %s cannot be read", path).
			WithHint("repair the file, or remove it").
			Because(err)
	}
	if c.Contexts == nil {
		c.Contexts = map[string]endpoint{}
	}
	return c, nil
}

// save writes them in one step, for nobody else to read.
func (g *globals) save(c contexts) error {
	path, err := g.configFile()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err == nil {
		err = writePrivately(path, append(b, '\n'))
	}
	if err != nil {
		return fault.Unavailable("config_unwritable", "the contexts cannot be written to %s", path).
			WithHint("check that the folder may be written").
			Because(err)
	}
	return nil
}

// writePrivately replaces a file in one step, for nobody else to read.
func writePrivately(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // of mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func (c contexts) names() []string { return slices.Sorted(maps.Keys(c.Contexts)) }

// place is the server that a context names.
func (c contexts) place(name string) (place, error) {
	e, ok := c.Contexts[name]
	if !ok {
		f := fault.New(fault.KindNotFound, "context_unknown", "there is no context %q", name)
		if len(c.Contexts) == 0 {
			return place{}, f.WithHint("make one with: stega login, or: stega context add NAME URL")
		}
		return place{}, f.WithHint("the contexts are %s", strings.Join(c.names(), ", "))
	}
	return place{URL: e.URL, Token: e.Token, TLS: e.clientTLS, Context: name, From: "the context " + name}, nil
}

// tokenOf is the token that is kept for a server.
func (c contexts) tokenOf(url string) (token, from string) {
	for _, name := range c.names() {
		if e := c.Contexts[name]; e.Token != "" && same(e.URL, url) {
			return e.Token, "the context " + name
		}
	}
	return "", ""
}
