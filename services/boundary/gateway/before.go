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
		case err == nil && g.o.Table.Service("/"+strings.Join(segments, "/")) != "":
			g.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}
