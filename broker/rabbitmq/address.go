package rabbitmq

import (
	"net/url"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"stega/fault"
	"stega/text"
)

// addresses parses the URLs of the nodes of a cluster: one URL, several separated by commas, or one with several
// hosts separated by commas.
func addresses(s string) (urls []*url.URL, err error) {
	parts := strings.Split(s, ",")
	if !strings.Contains(strings.Join(parts[1:], ","), "://") {
		parts = splitHosts(parts)
	}
	const how = "write it like amqp://user:password@localhost:5672/, for a cluster amqp://user:password@a:5672," +
		"b:5672/; " +
		"%%-encode special characters of the password, a comma as %%2C"
	for _, part := range parts {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Scheme != "amqp" && u.Scheme != "amqps" || u.Host == "" {
			return nil, fault.Usage("broker_url", "the broker's URL is not a URL of RabbitMQ").WithHint(how)
		}
		if _, err := amqp.ParseURI(u.String()); err != nil {
			return nil, fault.Usage("broker_url", "the broker's URL cannot be read: %s", text.RedactURL(part)).
				WithHint(how)
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// vhosts makes URLs of one whose hosts are parted by commas: user and scheme stand before the first host, the path
// after the last.
func splitHosts(parts []string) []string {
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return parts
	}
	before, host := "", first
	if i := strings.Index(first, "://"); i >= 0 {
		before, host = first[:i+3], first[i+3:]
	}
	if i := strings.LastIndex(host, "@"); i >= 0 {
		before, host = before+host[:i+1], host[i+1:]
	}
	last, path, found := strings.Cut(last, "/")
	if found {
		path = "/" + path
	}
	urls := []string{before + host + path}
	for _, host := range parts[1 : len(parts)-1] {
		urls = append(urls, before+strings.TrimSpace(host)+path)
	}
	return append(urls, before+strings.TrimSpace(last)+path)
}

// redacted returns a list of addresses without passwords.
func redacted(urls []*url.URL) string {
	texts := make([]string, len(urls))
	for i, u := range urls {
		without := *u
		if u.User != nil {
			without.User = url.User(u.User.Username())
		}
		texts[i] = without.String()
	}
	return strings.Join(texts, ",")
}
