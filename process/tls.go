package process

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"stega/fault"
)

// TLS has the files for TLS; none: plain HTTP.
type TLS struct {
	Cert     string // certificate and what it was signed with, PEM
	Key      string
	ClientCA string // who signs the certificates of clients; none: clients need no certificate
}

// On reports whether there is TLS.
func (t TLS) On() bool { return t != TLS{} }

// lookEvery is the least time between two checks of the files, which happen at connections.
const lookEvery = time.Second

// certificates reads the files again when they change: a renewed certificate is used without a restart. Files that
// cannot be used leave what was.
type certificates struct {
	files TLS
	log   *slog.Logger

	mu     sync.Mutex
	config *tls.Config
	stamp  [3]stamp
	looked time.Time
}

// stamp identifies one state of a file.
type stamp struct {
	changed time.Time
	size    int64
}

// tlsConfig reads the files; what is wrong with them is a fault.
func tlsConfig(files TLS, log *slog.Logger) (*tls.Config, error) {
	c := &certificates{files: files, log: log}
	var err error
	c.stamp = c.stamps()
	if c.config, err = files.load(); err != nil {
		return nil, err
	}
	c.looked = time.Now()
	config := c.config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil }
	return config, nil
}

// current returns the configuration of the files as they are now.
func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return c.config
	}
	c.looked = time.Now()
	stamp := c.stamps()
	if stamp == c.stamp {
		return c.config
	}
	config, err := c.files.load()
	if err != nil {
		// Perhaps one of them is still to be written: it is tried again at the next look.
		c.log.Error("the changed TLS files cannot be used; those from before stay in use", "error", err)
		return c.config
	}
	c.stamp, c.config = stamp, config
	c.log.Info("the TLS files have changed and are in use", "certificate", c.files.Cert)
	return config
}

func (c *certificates) stamps() (s [3]stamp) {
	for i, name := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if info, err := os.Stat(name); err == nil {
			s[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

func (t TLS) load() (*tls.Config, error) {
	if t.Cert == "" || t.Key == "" {
		return nil, fault.Usage("tls_incomplete",
			"TLS takes a certificate and a key").WithHint("say both --tls-cert and --tls-key")
	}
	cert, err := readable(t.Cert)
	if err != nil {
		return nil, err
	}
	key, err := readable(t.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fault.Usage("tls_mismatched", "%s and %s are no certificate and its key", t.Cert, t.Key).
			WithHint("both are PEM files; the certificate comes first in its file, and the key is that of it").
			Because(err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return nil, fault.Usage("tls_expired", "the certificate %s is valid from %s to %s only", t.Cert,
			pair.Leaf.NotBefore.UTC().Format(time.DateTime),
			pair.Leaf.NotAfter.UTC().Format(time.DateTime)).WithHint("renew it, and check the clock")
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	}
	if t.ClientCA == "" {
		return config, nil
	}
	ca, err := readable(t.ClientCA)
	if err != nil {
		return nil, err
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !config.ClientCAs.AppendCertsFromPEM(ca) {
		return nil, fault.Usage("tls_client_ca_invalid", "%s has no certificate",
			t.ClientCA).WithHint("it is a PEM file with those that sign the certificates of clients")
	}
	return config, nil
}

func readable(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		return b, nil
	}
	f := fault.Usage("tls_file_unreadable", "the file %s cannot be read",
		file).WithHint("check that this user may read it").Because(err)
	if errors.Is(err, fs.ErrNotExist) {
		f = f.WithHint("there is no such file")
	}
	return nil, f
}
