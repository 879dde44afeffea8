package cmd

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/spf13/pflag"

	"stega/fault"
)

// clientTLS is how this program shows itself to a server, and whom it trusts.
type clientTLS struct {
	Cert string `json:"tls_cert,omitempty"`
	Key  string `json:"tls_key,omitempty"`
	CA   string `json:"tls_ca,omitempty"`
}

func (t *clientTLS) flags(f *pflag.FlagSet) {
	f.StringVar(&t.Cert, "tls-cert", "", "client certificate, a PEM file (default STEGA_CLIENT_CERT)")
	f.StringVar(&t.Key, "tls-key", "", "key of the client certificate, a PEM file (default STEGA_CLIENT_KEY)")
	f.StringVar(&t.CA, "tls-ca", "", "PEM file with the authorities of servers to trust (default STEGA_CLIENT_CA)")
}

// over takes from the flags, then from the environment, then from a context.
func (t clientTLS) over(kept clientTLS) clientTLS {
	first := func(flag, variable, kept string) string {
		if flag != "" {
			return flag
		}
		return env(variable, kept)
	}
	return clientTLS{
		Cert: first(
			t.Cert, "STEGA_CLIENT_CERT", kept.Cert,
		), Key: first(t.Key, "STEGA_CLIENT_KEY", kept.Key), CA: first(t.CA, "STEGA_CLIENT_CA", kept.CA),
	}
}

// config reads the files; nil when there are none.
func (t clientTLS) config() (*tls.Config, error) {
	if t == (clientTLS{}) {
		return nil, nil //nolint:nilnil // the usual one
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fault.Usage("certificate_unreadable", "the certificate %q with the key %q cannot be used",
				t.Cert, t.Key).
				WithHint("name two PEM files that belong together with --tls-cert and --tls-key").
				Because(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		c.RootCAs = x509.NewCertPool()
		if err != nil || !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fault.Usage("certificate_unreadable", "the file %q has no certificate of an authority", t.CA).
				WithHint("name a PEM file with --tls-ca").Because(err)
		}
	}
	return c, nil
}
