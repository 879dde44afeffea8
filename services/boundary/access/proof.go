package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net"
	"net/http"

	"github.com/labstack/echo/v4"

	"stega/fault"
	"stega/rest"
)

// proofBody bounds the body of POST /v1/proof, and proofNonce the bytes of its nonce.
const (
	proofBody     = 1024
	proofNonceMin = 16
	proofNonceMax = 64
)

// Proof is the answer to POST /v1/proof: whoever knows the token of the token file can see from it that the server
// does too. It is bound to the address that the connection reached, so that another process cannot pass it on as its
// own.
type Proof struct {
	Proof   string `json:"proof"`
	Address string `json:"address"`
}

// ProofOf returns the proof for a nonce and an address: the HMAC-SHA-256 under the SHA-256 of the token's text, in
// base64url.
func ProofOf(token, nonce, address string) string {
	return proofOf(sha256.Sum256([]byte(token)), nonce, address)
}

func proofOf(key [sha256.Size]byte, nonce, address string) string {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("stega proof v1\n" + nonce + "\n" + address))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Challenge is the body of a request for a proof.
type Challenge struct {
	Nonce string `json:"nonce" jsonschema:"required"` // 16 to 64 random bytes in base64url
}

func (a *Access) prove(c echo.Context) error {
	if a.proof == nil {
		return fault.NotFound("proof_unavailable", "this server keeps no token file, by which it could prove itself").
			WithHint("name a token: stega login, or STEGA_TOKEN")
	}
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, proofBody)
	var b Challenge
	if _, err := rest.Body(c, &b); err != nil {
		return err
	}
	nonce, err := base64.RawURLEncoding.Strict().DecodeString(b.Nonce)
	if err != nil || len(nonce) < proofNonceMin || len(nonce) > proofNonceMax {
		return fault.Invalid("nonce_invalid", "the nonce is not %d to %d bytes in base64url", proofNonceMin,
			proofNonceMax).
			With(fault.Item{Pointer: "/nonce", Detail: "is not 16 to 64 bytes in base64url, without padding"})
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return fault.NotFound("proof_unavailable", "the address of this connection is not known")
	}
	return c.JSON(http.StatusOK, Proof{proofOf(*a.proof, b.Nonce, local.String()), local.String()})
}
