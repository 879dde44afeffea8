package cmd

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"stega/daemon"
	"stega/fault"
)

// settings are the servers that the user knows: what the environment names, else the contexts of his configuration, else the stega of this machine.
type settings struct{ getenv func(string) string }

// configuration is the file config.json.
type configuration struct {
	Current  string                   `json:"current"`
	Contexts map[string]contextOfUser `json:"contexts"`
}

type contextOfUser struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

const defaultURL = "http://127.0.0.1:8420"

// configPath is where the configuration is.
func (s settings) configPath() string {
	if v := s.getenv("XDG_CONFIG_HOME"); v != "" {
		return filepath.Join(v, "stega", "config.json")
	}
	return filepath.Join(s.getenv("HOME"), ".config", "stega", "config.json")
}

func (s settings) read() (c configuration, err error) {
	b, err := os.ReadFile(s.configPath())
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return c, fault.Usage("config_invalid", "the configuration %s cannot be read", s.configPath()).WithHint("put it right, or move it away").Because(err)
	}
	return c, nil
}

// Current is the server that commands are for when they name none.
func (s settings) Current() (daemon.Server, error) {
	if v := s.getenv("STEGA_URL"); v != "" {
		return daemon.Server{URL: v, Token: s.Token(v)}, nil
	}
	c, err := s.read()
	if err != nil {
		return daemon.Server{}, err
	}
	if one, ok := c.Contexts[c.Current]; ok {
		return daemon.Server{URL: one.URL, Token: s.Token(one.URL)}, nil
	}
	return daemon.Server{URL: defaultURL, Token: s.Token(defaultURL)}, nil
}

// Token is the token for a server.
func (s settings) Token(url string) string {
	same := func(other string) bool { return strings.TrimRight(other, "/") == strings.TrimRight(url, "/") }
	if token := s.getenv("STEGA_TOKEN"); token != "" && (s.getenv("STEGA_URL") == "" || same(s.getenv("STEGA_URL"))) {
		return token
	}
	c, err := s.read()
	if err == nil {
		for _, one := range c.Contexts {
			if same(one.URL) {
				return one.Token
			}
		}
	}
	if same(defaultURL) {
		if b, err := os.ReadFile(s.tokenFile()); err == nil {
			return strings.TrimSpace(string(b))
		}
	}
	return ""
}

// tokenFile is where stega up leaves its token.
func (s settings) tokenFile() string {
	if v := s.getenv("STEGA_DATA"); v != "" {
		return filepath.Join(v, "token")
	}
	return filepath.Join(dataFolder(), "token")
}
