package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"stega/fault"
)

// dial makes a connection, as http.Transport wants it.
type dial = func(ctx context.Context, network, address string) (net.Conn, error)

// maxProof bounds the answer to a challenge.
const maxProof = 64 << 10

// proofTimeout is how long a server may take to prove itself.
const proofTimeout = 10 * time.Second

// Proving returns a dial function whose connections lead to a server that knows token: each is challenged before
// anything else is sent on it. token is asked for each connection; where it is empty, nothing is to be proven. The
// token itself is never sent.
func Proving(next dial, token func() string) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := next(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if secret := token(); secret != "" {
			if err := challenge(ctx, conn, address, secret); err != nil {
				_ = conn.Close()
				return nil, err
			}
		}
		return conn, nil
	}
}

// challenge has the server at the other end of a connection prove that it knows a token. The proof covers the address
// that the server has on this very connection, so that a program in between cannot pass on the proof of the real
// server.
func challenge(ctx context.Context, conn net.Conn, host, token string) error {
	deadline := time.Now().Add(proofTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	nonce := base64.RawURLEncoding.EncodeToString(b)
	body, err := json.Marshal(map[string]string{"nonce": nonce})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/v1/proof", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if err := r.Write(conn); err != nil {
		return silent(ctx, host, err)
	}
	in := bufio.NewReader(io.LimitReader(conn, maxProof))
	answer, err := http.ReadResponse(in, r)
	if err != nil {
		return silent(ctx, host, err)
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		return silent(ctx, host, err)
	}
	var p struct{ Proof, Address string }
	switch {
	case answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable:
		return fault.Unavailable(CodeServerUnavailable, "the program at %s answers %s", host, answer.Status).
			WithHint("try again")
	case answer.StatusCode != http.StatusOK:
		return unproven(host, "it answers %s", answer.Status)
	case json.Unmarshal(text, &p) != nil || answer.Close || in.Buffered() > 0:
		return unproven(host, "its answer is not understood")
	case !hmac.Equal([]byte(p.Proof), []byte(proof(token, nonce, p.Address))):
		return unproven(host, "its proof is wrong")
	case !sameAddress(p.Address, conn.RemoteAddr().String()):
		return unproven(host, "its proof is of another address, %q", p.Address)
	}
	return conn.SetDeadline(time.Time{})
}

// proof returns the proof that the holder of a token gives for a nonce, on a connection to its address.
func proof(token, nonce, address string) string {
	key := sha256.Sum256([]byte(token))
	mac := hmac.New(sha256.New, key[:])
	_, _ = fmt.Fprintf(mac, "stega proof v1\n%s\n%s", nonce, address)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// sameAddress reports whether two addresses with ports are one, however they are written.
func sameAddress(a, b string) bool {
	x, err := netip.ParseAddrPort(a)
	y, other := netip.ParseAddrPort(b)
	return err == nil && other == nil && x.Port() == y.Port() &&
		x.Addr().Unmap().WithZone("") == y.Addr().Unmap().WithZone("")
}

func unproven(host, format string, args ...any) error {
	return fault.New(fault.KindForbidden, CodeServerUnproven, "the program that listens on %s is not your stega", host).
		WithHint("nothing secret was sent; see what listens there, or start yours with: stega up; name the folder " +
			"of its --data in STEGA_DATA, or a token in STEGA_TOKEN").
		Because(fmt.Errorf(format, args...))
}

func silent(ctx context.Context, host string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return fault.Unavailable(CodeServerUnavailable, "the program at %s does not answer", host).
		WithHint("see what listens there; start yours with: stega up").
		Because(err)
}
