package text

import (
	"net/url"
	"regexp"
	"strings"
)

// redacted replaces a hidden value, as in url.URL.Redacted.
const redacted = "xxxxx"

var (
	// separator matches the start of the next URL of a list.
	separator = regexp.MustCompile(`[,;\s]+[A-Za-z][A-Za-z0-9+.-]*://`)
	scheme    = regexp.MustCompile(`^[,;\s]*[A-Za-z][A-Za-z0-9+.-]*://`)
	// setting matches a parameter of a query or of a key/value DSN.
	setting   = regexp.MustCompile(`([A-Za-z0-9_.%+-]+)(\s*=\s*)`)
	parameter = regexp.MustCompile(`^&[A-Za-z0-9_.%+-]+=`)
	// path matches a file, which has no password.
	path = regexp.MustCompile(`^(?:[./\\]|file:|[A-Za-z]:[\\/])`)
)

// RedactURL returns an address without its passwords, in any form: a URL, also an invalid one, a list of URLs, one
// without a scheme, parameters such as ?password=, and a key/value DSN. In doubt it hides more. It is meant for one
// address from a setting, not for a sentence with an address.
func RedactURL(s string) string {
	var b strings.Builder
	for s != "" {
		end := len(s)
		if at := separator.FindStringIndex(s[1:]); at != nil {
			end = at[0] + 1
		}
		b.WriteString(redactUser(s[:end]))
		s = s[end:]
	}
	return redactSettings(b.String())
}

// redactUser hides the password of a URL.
func redactUser(s string) string {
	start := len(scheme.FindString(s))
	at := strings.LastIndexByte(s, '@')
	if at < start || path.MatchString(s) {
		return s
	}
	user := s[start:at]
	if colon := strings.IndexByte(user, ':'); colon >= 0 {
		return s[:start] + user[:colon+1] + redacted + s[at:]
	}
	if web := strings.ToLower(strings.TrimLeft(s[:start], ",; \t")); strings.HasPrefix(web, "http") {
		return s[:start] + redacted + s[at:] // a token may be the user name
	}
	return s
}

// redactSettings hides the values of settings with a secret name.
func redactSettings(s string) string {
	var b strings.Builder
	query := strings.Contains(s, "://")
	for s != "" {
		at := setting.FindStringSubmatchIndex(s)
		if at == nil {
			break
		}
		key, value := s[at[2]:at[3]], s[at[1]:]
		b.WriteString(s[:at[1]])
		size := 0
		if secret(key) {
			if size = valueSize(value, query); size > 0 {
				b.WriteString(redacted)
			}
		}
		s = value[size:]
	}
	b.WriteString(s)
	return b.String()
}

func secret(key string) bool {
	if plain, err := url.QueryUnescape(key); err == nil {
		key = plain
	}
	key = strings.ToLower(key)
	for _, word := range []string{"pass", "pwd", "secret", "token", "apikey", "api_key", "api-key", "credential"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// valueSize returns the length of a value: quoted, or up to the next parameter of a query or of a DSN.
func valueSize(s string, query bool) int {
	quoted := strings.HasPrefix(s, "'")
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case quoted && c == '\'' && i > 0:
			return i + 1
		case !quoted && (query && c == '&' && parameter.MatchString(s[i:]) || strings.IndexByte(" \t\r\n", c) >= 0):
			return i
		}
	}
	return len(s)
}
