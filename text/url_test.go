package text

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPasswordsOfAddressesAreHidden(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                              "",
		"http://127.0.0.1:8420":         "http://127.0.0.1:8420",
		"https://stega.example/a?b=c#d": "https://stega.example/a?b=c#d",
		"amqp://u@h/":                   "amqp://u@h/",
		"amqp://u:p@h:5672/vhost":       "amqp://u:xxxxx@h:5672/vhost",
		"amqp://u:p@127.0.0.1:5672/,amqp://u2:q@127.0.0.1:5673/": "amqp://u:xxxxx@127.0.0.1:5672/," +
			"amqp://u2:xxxxx@127.0.0.1:5673/",
		"amqp://u:p@h1, amqps://u2:q@h2":                   "amqp://u:xxxxx@h1, amqps://u2:xxxxx@h2",
		"amqp://u:p@h1,h2:5673/v":                          "amqp://u:xxxxx@h1,h2:5673/v",
		"amqp://u:p@h1,u2:q@h2/v":                          "amqp://u:xxxxx@h2/v",
		"amqp://u:p%40%2f@h":                               "amqp://u:xxxxx@h",
		"amqp://u:p/w?d#x@y@h":                             "amqp://u:xxxxx@h",
		"amqp://u:p w\n%zz@h":                              "amqp://u:xxxxx@h",
		"amqp://u:mytoken=abc@h":                           "amqp://u:xxxxx@h",
		"guest:guest@rabbit:5672":                          "guest:xxxxx@rabbit:5672",
		"amqp:guest:guest@rabbit:5672":                     "amqp:xxxxx@rabbit:5672",
		"https://secrettoken@stega.example":                "https://xxxxx@stega.example",
		"postgres://u:p@h/d?sslmode=disable":               "postgres://u:xxxxx@h/d?sslmode=disable",
		"postgres://h/d?user=u&password=p&sslmode=disable": "postgres://h/d?user=u&password=xxxxx&sslmode=disable",
		"postgres://h/d?pass%77ord=p&application_name=x":   "postgres://h/d?pass%77ord=xxxxx&application_name=x",
		"postgres://h/d?password=a&b&PASSWORD=q":           "postgres://h/d?password=xxxxx&PASSWORD=xxxxx",
		"postgres://h/d?sslpassword=p":                     "postgres://h/d?sslpassword=xxxxx",
		"host=h user=u password=p dbname=d":                "host=h user=u password=xxxxx dbname=d",
		"host=h user=u password = p dbname=d":              "host=h user=u password = xxxxx dbname=d",
		`host=h password='a b\'c d' dbname=d`:              "host=h password=xxxxx dbname=d",
		`host=h password=a\ b dbname=d`:                    "host=h password=xxxxx dbname=d",
		`host=h password='a b dbname=d`:                    "host=h password=xxxxx",
		"host=h password=a&b=c dbname=d":                   "host=h password=xxxxx dbname=d",
		"host=h password=a:b@c dbname=d":                   "host=h password=xxxxx dbname=d",
		"/home/u@x:y/a@b/stega.db":                         "/home/u@x:y/a@b/stega.db",
		`C:\Users\a@b\stega.db`:                            `C:\Users\a@b\stega.db`,
		"nats://127.0.0.1:4222?api_key=k":                  "nats://127.0.0.1:4222?api_key=xxxxx",
	} {
		assert.Equal(t, want, RedactURL(in), "%q", in)
	}
}

func FuzzRedactURL(f *testing.F) {
	f.Add("p/w@x", 0)
	f.Add("a b'c", 3)
	f.Fuzz(func(t *testing.T, password string, form int) {
		// The marker identifies the password; around it are characters that could end it.
		marked := "Q7J" + password + "Z9K"
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(marked)
		forms := []string{
			"amqp://user:" + url.QueryEscape(marked) + "@host:5672/vhost",
			"amqp://one:" + url.QueryEscape(marked) + "@host,amqp://two:" + url.QueryEscape(marked) + "@host",
			"postgres://host/db?user=u&password=" + url.QueryEscape(marked) + "&sslmode=disable",
			"host=h password='" + quoted + "' dbname=d",
			"http://user:" + strings.NewReplacer("://", "").Replace(marked) + "@host",
		}
		out := RedactURL(forms[((form%len(forms))+len(forms))%len(forms)])
		require.NotContains(t, out, "Q7J")
		require.NotContains(t, out, "Z9K")
	})
}
