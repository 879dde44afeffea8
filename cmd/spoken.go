package cmd

import (
	"errors"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"stega/fault"
)

// flagsOf are the flags of fields and parameters whose names differ from theirs.
var flagsOf = map[string]string{
	"metric":            "rolling",
	"by":                "table",
	"asset_bounds":      "bound",
	"groups":            "group",
	"views":             "view",
	"current_weights":   "current",
	"transaction_costs": "costs",
	"portfolio_id":      "portfolio",
	"expected_returns":  "returns",
	"timeout":           "solve-timeout",
}

// flagOf returns the flag of a command for a field or parameter of HTTP, without the dashes; empty when it has none.
func flagOf(c *cobra.Command, field string) string {
	for _, name := range []string{flagsOf[field], strings.ReplaceAll(field, "_", "-")} {
		if name != "" && c.Flags().Lookup(name) != nil {
			return name
		}
	}
	return ""
}

// requests are the commands for requests that hints of the server name; the longer ones come first.
var requests = strings.NewReplacer(
	"POST /v1/prices/pull", "stega prices pull", "POST /v1/prices", "stega prices import FILE",
	"GET /v1/prices/providers",
	"stega prices providers", "GET /v1/prices/", "stega prices show ", "GET /v1/symbols", "stega symbols",
	"GET /v1/optimizations", "stega optimize list", "DELETE /v1/optimizations/ID", "stega optimize delete ID",
	"POST /v1/optimizations", "stega optimize", "GET /v1/portfolios", "stega portfolio list", "POST /v1/portfolios",
	"stega portfolio create", "GET /v1/schedules", "stega schedule list", "GET /v1/dead", "stega dead list",
	"GET /v1/operations/", "stega op show ", "GET /v1/operations", "stega op list", "GET /v1/tokens",
	"stega token list",
	"POST /v1/tokens", "stega token create NAME", "GET /v1/events", "stega events tail", "GET /v1/stream",
	"stega watch",
	"GET /v1/audit", "stega audit",
)

var (
	pointerStart = regexp.MustCompile(`^/([a-z_0-9]+)(?:/[^ :,]*)?(:?)`)
	parameter    = regexp.MustCompile(`\??\b([a-z_]+)=([^\s,;]*)`)
	subject      = regexp.MustCompile(`^([a-z_]+) (is|are|must)\b`)
	tree         = regexp.MustCompile(`stega op show (\S+)\?tree=true`)
)

// spoken returns a text of the server in the words of the command line: flags for fields and parameters, commands for
// requests.
func spoken(c *cobra.Command, text string) string {
	text = requests.Replace(text)
	text = tree.ReplaceAllString(text, "stega op tree $1")
	if m := pointerStart.FindStringSubmatch(text); m != nil {
		if name := flagOf(c, m[1]); name != "" {
			text = "--" + name + m[2] + text[len(m[0]):]
		}
	}
	if m := subject.FindStringSubmatch(text); m != nil {
		if name := flagOf(c, m[1]); name != "" {
			text = "--" + name + text[len(m[1]):]
		}
	}
	return parameter.ReplaceAllStringFunc(text, func(found string) string {
		m := parameter.FindStringSubmatch(found)
		name := flagOf(c, m[1])
		switch {
		case name == "":
			return found
		case m[2] != "" && c.Flags().Lookup(name).NoOptDefVal == m[2]:
			return "--" + name
		case m[2] != "" && c.Flags().Lookup(name).NoOptDefVal != "":
			return "--" + name + "=" + m[2]
		}
		return strings.TrimSuffix("--"+name+" "+m[2], " ")
	})
}

// spokenFault returns an error in the words of the command line.
func spokenFault(c *cobra.Command, err error) error {
	f, ok := errors.AsType[*fault.Fault](err)
	if !ok {
		return err
	}
	said := *f
	said.Detail, said.Hint = spoken(c, f.Detail), spoken(c, f.Hint)
	said.Errors = make([]fault.Item, len(f.Errors))
	for i, item := range f.Errors {
		field, _, _ := strings.Cut(strings.TrimPrefix(item.Pointer, "/"), "/")
		if name := flagOf(c, field); name != "" {
			item.Pointer = "--" + name
		}
		item.Detail = spoken(c, item.Detail)
		said.Errors[i] = item
	}
	return &said
}
