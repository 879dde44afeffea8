package access

import "net/http"

// noStore keeps an answer out of every cache; it is the rule where a handler has none of its own.
const noStore = "no-store"

// protect sets the headers by which a browser keeps an answer to itself: it is of the type that it says, no page of
// another site embeds, frames or reads it, and nothing in it runs. Pages set a policy of their own.
func protect(h http.Header, secure bool) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", noStore)
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// settle leaves one value of each header of protect, the last: a service that answered through the gateway set them
// too. What has an ETag may be kept by the client that asked, and is used only after the server confirmed it.
func settle(h http.Header) {
	for _, name := range []string{
		"X-Content-Type-Options", "Content-Security-Policy", "Cross-Origin-Resource-Policy", "Referrer-Policy",
		"Cache-Control", "Strict-Transport-Security",
	} {
		if values := h[name]; len(values) > 1 {
			h[name] = values[len(values)-1:]
		}
	}
	if h.Get("ETag") != "" && h.Get("Cache-Control") == noStore {
		h.Set("Cache-Control", "private, no-cache")
	}
}
