package process

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/fault"
)

// issued is a certificate of the test, with its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate; by is who signs it, nil for itself.
func issue(t testing.TB, name string, by *issued, from, to time.Time) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             from,
		NotAfter:              to,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA:                  by == nil,
		BasicConstraintsValid: true,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &issued{cert, key}
}

// write writes the files of a certificate.
func (i *issued) write(t testing.TB, folder, name string) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	require.NoError(t, err)
	cert, key = filepath.Join(folder, name+".crt"), filepath.Join(folder, name+".key")
	require.NoError(t,
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return cert, key
}

// shake makes a TLS connection in memory and returns the name of the server's certificate.
func shake(server *tls.Config, client *tls.Config) (string, error) {
	near, far := net.Pipe()
	defer func() { _ = near.Close(); _ = far.Close() }()
	over := make(chan error, 1)
	go func() {
		err := tls.Server(far, server).Handshake()
		over <- err
		_ = far.Close()
	}()
	c := tls.Client(near, client)
	if err := c.Handshake(); err != nil {
		_ = near.Close()
		return "", errors.Join(err, <-over)
	}
	name := c.ConnectionState().PeerCertificates[0].Subject.CommonName
	// From TLS 1.3 on, the client hears of a refusal with the first byte.
	go func() { _, _ = c.Read(make([]byte, 1)) }()
	return name, <-over
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		first, second := issue(t, "first", nil, now.Add(-time.Hour), now.Add(time.Hour)),
			issue(t, "second", nil, now.Add(-time.Hour), now.Add(time.Hour))
		cert, key := first.write(t, folder, "server")
		config, err := tlsConfig(TLS{Cert: cert, Key: key}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		trusting := &tls.Config{ServerName: "127.0.0.1", RootCAs: x509.NewCertPool()}
		trusting.RootCAs.AddCert(first.cert)
		trusting.RootCAs.AddCert(second.cert)
		named := func() string {
			name, err := shake(config, trusting)
			require.NoError(t, err)
			return name
		}
		assert.Equal(t, "first", named())

		t.Log("half of a change changes nothing")
		keyBefore, err := os.ReadFile(key)
		require.NoError(t, err)
		second.write(t, folder, "server")
		keyAfter, err := os.ReadFile(key)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(key, keyBefore, 0o600))
		touch(t, cert, key, 1)
		time.Sleep(lookEvery)
		assert.Equal(t, "first", named())

		require.NoError(t, os.WriteFile(key, keyAfter, 0o600))
		touch(t, cert, key, 2)
		time.Sleep(lookEvery)
		assert.Equal(t, "second", named())

		require.NoError(t, os.Remove(cert))
		time.Sleep(lookEvery)
		assert.Equal(t, "second", named())
	})
}

// touch gives files a time of their own, for those of two writes can be the same.
func touch(t testing.TB, cert, key string, n int) {
	t.Helper()
	at := time.Unix(int64(n)*1000, 0)
	require.NoError(t, errors.Join(os.Chtimes(cert, at, at), os.Chtimes(key, at, at)))
}

func TestOldProtocolsAndStrangersAreRefused(t *testing.T) {
	t.Parallel()
	folder, now := t.TempDir(), time.Now()
	ca := issue(t, "authority", nil, now.Add(-time.Hour), now.Add(time.Hour))
	server, friend := issue(t, "server", ca, now.Add(-time.Hour), now.Add(time.Hour)),
		issue(t, "friend", ca, now.Add(-time.Hour), now.Add(time.Hour))
	stranger := issue(t, "stranger", nil, now.Add(-time.Hour), now.Add(time.Hour))
	cert, key := server.write(t, folder, "server")
	authority, _ := ca.write(t, folder, "ca")
	of := func(i *issued) *tls.Config {
		c := &tls.Config{ServerName: "127.0.0.1", RootCAs: x509.NewCertPool()}
		c.RootCAs.AddCert(ca.cert)
		if i != nil {
			c.Certificates = []tls.Certificate{{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key}}
		}
		return c
	}
	config, err := tlsConfig(TLS{Cert: cert, Key: key, ClientCA: authority}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	name, err := shake(config, of(friend))
	require.NoError(t, err)
	assert.Equal(t, "server", name)
	_, err = shake(config, of(stranger))
	require.Error(t, err)
	_, err = shake(config, of(nil))
	require.Error(t, err)
	open, err := tlsConfig(TLS{Cert: cert, Key: key}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, err = shake(open, of(nil))
	require.NoError(t, err)
	old := of(nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	_, err = shake(open, old)
	require.Error(t, err)
}

func TestFilesThatCannotServeSayWhy(t *testing.T) {
	t.Parallel()
	folder, now := t.TempDir(), time.Now()
	cert, key := issue(t, "a", nil, now.Add(-time.Hour), now.Add(time.Hour)).write(t, folder, "a")
	_, other := issue(t, "b", nil, now.Add(-time.Hour), now.Add(time.Hour)).write(t, folder, "b")
	oldCert, oldKey := issue(t, "old", nil, now.Add(-2*time.Hour), now.Add(-time.Hour)).write(t, folder, "old")
	for _, c := range []struct {
		files TLS
		code  string
	}{
		{TLS{Cert: cert}, "tls_incomplete"}, {TLS{Key: key}, "tls_incomplete"}, {TLS{ClientCA: cert}, "tls_incomplete"},
		{TLS{Cert: filepath.Join(folder, "none"), Key: key}, "tls_file_unreadable"},
		{TLS{Cert: cert, Key: folder}, "tls_file_unreadable"},
		{TLS{Cert: cert, Key: other}, "tls_mismatched"}, {TLS{Cert: key, Key: cert}, "tls_mismatched"},
		{TLS{Cert: oldCert, Key: oldKey}, "tls_expired"},
		{TLS{Cert: cert, Key: key, ClientCA: key}, "tls_client_ca_invalid"},
		{TLS{Cert: cert, Key: key, ClientCA: "none"}, "tls_file_unreadable"},
	} {
		_, err := tlsConfig(c.files, slog.New(slog.DiscardHandler))
		require.Error(t, err)
		assert.Equal(t, c.code, fault.Of(err).Code, "%+v", c.files)
		assert.NotEmpty(t, fault.Of(err).Hint)
	}
}
