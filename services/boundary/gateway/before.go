package gateway

import (
	"net/http"
	"strings"

	"stega/rest"
)

// Before routes what belongs to services, and leaves everything else to next.
func (g *Gateway) Before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		segments, err := clean(r)
		switch {
		case err != nil && strings.HasPrefix(r.URL.Path, "/v1/"):
			w.Header().Set("X-Request-Id", rest.RequestID(r))
			rest.Refuse(w, r, err)
		case err == nil && owned(segments):
			g.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// owned reports whether a path is below one of the areas. The log of events is the boundary's own.
func owned(segments []string) bool {
	if len(segments) < 2 || segments[0] != "v1" || segments[1] == "events" && len(segments) == 2 {
		return false
	}
	for _, a := range areas {
		if a.name == segments[1] {
			return true
		}
	}
	return false
}
