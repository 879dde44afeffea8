package gateway

import (
	"net/http"
	"net/url"
	"strings"

	"stega/fault"
)

// maxPath bounds a path.
const maxPath = 1024

// clean reads the path of a request as one list of segments, the same for everybody who reads it. What could be read
// in two ways is refused and not repaired: somebody behind the gateway could repair it in another way. Segments have
// what symbols, ids and topics have, and only what has a meaning in URLs may be encoded.
func clean(r *http.Request) ([]string, error) {
	u := r.URL
	if u.Scheme != "" || u.Host != "" || u.Opaque != "" || u.User != nil || r.RequestURI != "" &&
		r.RequestURI[0] != '/' {
		return nil, malformed("the request names more than a path")
	}
	escaped := u.EscapedPath()
	if len(escaped) > maxPath {
		return nil, malformed("the path is too long")
	}
	segments := strings.Split(escaped, "/")
	if segments[0] != "" || len(segments) < 2 {
		return nil, malformed("the path does not begin with a slash")
	}
	segments = segments[1:]
	for i, s := range segments {
		text, ok := plain(s)
		switch {
		case s == "":
			return nil, malformed("the path has an empty segment")
		case s == "." || s == "..":
			return nil, malformed("the path has a segment that points elsewhere")
		case !ok:
			return nil, malformed("the path has a character that paths here do not have")
		}
		segments[i] = text
	}
	return segments, nil
}

func malformed(why string) error {
	return fault.Malformed("path_malformed", "%s", why).WithHint("paths look like /v1/portfolios or /v1/prices/AAPL")
}

// plain is a segment without its encoding.
func plain(s string) (string, bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case unreserved(c) || mark(c):
		case c == '%':
			text, err := url.PathUnescape(s[i:min(i+3, len(s))])
			if err != nil || len(text) != 1 || !mark(text[0]) {
				return "", false
			}
			i += 2
		default:
			return "", false
		}
	}
	text, err := url.PathUnescape(s)
	return text, err == nil
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// mark reports whether a character is one of those that symbols have besides: some clients encode them, and some do
// not. A slash in a symbol cannot be asked for in a path.
func mark(c byte) bool { return strings.IndexByte("^=:&", c) >= 0 }
