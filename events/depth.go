package events

// MaxDepth limits how deep JSON from outside may nest objects and arrays: HTTP bodies, commands of the stream, and
// the data of messages.
const MaxDepth = 32

// TooDeep reports whether JSON nests deeper than MaxDepth. It stops there and allocates nothing, so it runs before
// every decoder.
func TooDeep(data []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
