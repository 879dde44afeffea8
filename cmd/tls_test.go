package cmd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server that requires a certificate of its clients gets that of --tls-cert, and its own is checked against --tls-ca.
func TestAClientCertificateIsPresented(t *testing.T) {
	alone(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(
			1,
		),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)

	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.TLS.PeerCertificates[0].SerialNumber.String()))
	}))
	clients := x509.NewCertPool()
	clients.AddCert(certificate)
	server.TLS = &tls.Config{
		ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs:  clients,
		MinVersion: tls.VersionTLS12,
	}
	server.StartTLS()
	defer server.Close()
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER},
		"ca.pem": {Type: "CERTIFICATE", Bytes: server.Certificate().Raw},
	} {
		require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(block), 0o600))
	}

	status, _, stderr := run(t.Context(), "", "api", "/", "--url", server.URL, "--timeout", "20s", "--tls-ca", "ca.pem")
	assert.NotZero(t, status)
	assert.Contains(t, stderr, "hint: name one with --tls-cert and --tls-key")
	api := []string{"api", "/v1/portfolios", "--url", server.URL, "--timeout", "5s"}
	status, stdout, stderr := run(
		t.Context(),
		"",
		append(api[:5:5], "20s", "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--tls-ca", "ca.pem")...)
	require.Zero(t, status, stderr)
	assert.Equal(t, "1", stdout)
	for _, flags := range [][]string{
		{"--tls-ca", "ca.pem"},                             // no certificate of its own
		{"--tls-cert", "cert.pem", "--tls-key", "key.pem"}, // the server's is not trusted
		{"--tls-cert", "cert.pem", "--tls-ca", "ca.pem"},   // no key
		{"--tls-cert", "ca.pem", "--tls-key", "key.pem", "--tls-ca", "ca.pem"},
	} {
		status, stdout, stderr := run(t.Context(), "", append(api[:6:6], flags...)...)
		assert.NotZero(t, status, "%v", flags)
		assert.Empty(t, stdout, "%v", flags)
		assert.NotEmpty(t, stderr, "%v", flags)
	}
}
