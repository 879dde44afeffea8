package test

import (
	"bytes"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/reference"
	"stega/internal/stegatest"
	"stega/process"
)

// The composed stack starts without settings. It works like "stega up" although a consumer is killed in the middle;
// its containers are hardened; and its secrets can be replaced.
func TestTheComposedStack(t *testing.T) {
	c := stegatest.Compose(t)
	file := string(reference.Read(t, "stock_prices.csv"))
	c.Up()
	assert.Contains(t, c.Compose("logs", "boundary-api"), "docker compose exec boundary-api /stega token create",
		"the log has the command that creates a token")

	t.Log("an import, and a consumer is killed in the middle")
	c.Unsettled().Import(file, "")
	c.Compose("kill", "returns-consumer")
	const body = `{"name":"core","assets":[{"symbol":"AAPL","weight":"0.6"},{"symbol":"MA","weight":"0.4"}]}`
	id := c.Unsettled().Portfolio(body)
	c.Compose("start", "returns-consumer")

	up := stegatest.Up(t)
	up.Import(file, "")
	other := up.Portfolio(body)
	answers := func(s *stegatest.Server, path string) []byte {
		var a stegatest.Answer
		s.Eventually("GET "+path+" answers", func() bool {
			a = s.Do(http.MethodGet, path, "")
			return a.Status == http.StatusOK
		})
		return a.Body
	}
	for _, path := range []string{"", "/series", "/series?kind=drawdown", "?rebalance=monthly",
		"?rebalance=none&from=2010-01-01"} {
		theirs := answers(c.Server, "/v1/returns/portfolios/"+id+path)
		ours := answers(up, "/v1/returns/portfolios/"+other+path)
		assert.Equal(t, string(bytes.ReplaceAll(ours, []byte(other), []byte(id))), string(theirs), path)
	}
	var symbols struct {
		Items []struct{ Symbol string }
	}
	up.Get("/v1/symbols?limit=1000", &symbols)
	require.NotEmpty(t, symbols.Items)
	for _, one := range symbols.Items {
		for _, path := range []string{"/v1/returns/assets/" + one.Symbol + "/series", "/v1/prices/" + one.Symbol} {
			assert.Equal(t, string(answers(up, path)), string(answers(c.Server, path)))
		}
	}

	t.Log("the containers are closed")
	ours := 0
	for _, one := range c.Containers() {
		host := one.HostConfig
		assert.Equal(t, []string{"ALL"}, host.CapDrop, one.Name)
		assert.Contains(t, host.SecurityOpt, "no-new-privileges:true", one.Name)
		assert.Positive(t, host.Memory, one.Name)
		assert.Positive(t, host.PidsLimit, one.Name)
		assert.Contains(t, one.NetworkSettings.Networks, c.Project+"_inside", one.Name)
		if !strings.HasSuffix(one.Name, "-boundary-api-1") {
			assert.Empty(t, host.PortBindings, one.Name)
			assert.NotContains(t, one.NetworkSettings.Networks, c.Project+"_front", one.Name)
		} else if assert.Len(t, host.PortBindings, 1) {
			assert.Equal(t, "127.0.0.1", host.PortBindings["8420/tcp"][0].HostIP)
		}
		if strings.HasSuffix(one.Name, "-api-1") || strings.HasSuffix(one.Name, "-consumer-1") {
			ours++
			assert.Equal(t, "65532:65532", one.Config.User, one.Name)
			assert.True(t, host.ReadonlyRootfs, one.Name)
		}
	}
	assert.Equal(t, 2*len(process.Names()), ours)
	inside, err := c.Docker("network", "inspect", "-f", "{{.Internal}}", c.Project+"_inside")
	require.NoError(t, err, inside)
	assert.Equal(t, "true", strings.TrimSpace(inside))

	t.Log("services refuse its network without a token")
	for _, host := range []string{"boundary-api", "portfolio-api", "marketdata-api", "returns-api",
		"optimization-consumer"} {
		out, err := c.Docker("run", "--rm", "--network", c.Project+"_inside", "-e", "STEGA_DAEMON=off", c.Project,
			"portfolio", "list", "--url", "http://"+host+":8420")
		var exit *exec.ExitError
		if assert.ErrorAs(t, err, &exit, "%s: %s", host, out) {
			assert.Equal(t, 77, exit.ExitCode(), "%s: %s", host, out)
		}
	}
	anonymous := stegatest.At(t, c.URL, "")
	assert.Equal(t, http.StatusUnauthorized, anonymous.Do(http.MethodGet, "/v1/portfolios", "").Status)

	t.Log("an idle stack takes few statements")
	transactions := func() (n int) {
		var err error
		n, err = strconv.Atoi(c.SQL("portfolio", "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database"))
		require.NoError(t, err)
		return n
	}
	const window = 20 * time.Second
	c.Eventually("the stack sleeps", func() bool {
		began := transactions()
		time.Sleep(window) // the measured time
		perSecond := float64(transactions()-began) / window.Seconds()
		t.Logf("%.1f transactions a second", perSecond)
		return perSecond < 20
	})

	t.Log("a second start keeps the secrets, and a service may run twice")
	password := func() string { return c.Compose("exec", "-T", "postgres", "cat", "/secrets/passwords.sql") }
	before := password()
	c.Compose("up", "-d", "--no-build", "--scale", "correlations-api=2")
	c.Ready()
	assert.Equal(t, before, password())
	assert.Equal(t, 2, strings.Count(c.Compose("ps", "--format", "{{.Name}}", "correlations-api"), "\n"))

	t.Log("one command replaces them")
	out, err := c.Run(filepath.Join(c.Root, "deploy", "rotate-secrets"), c.Args()...)
	require.NoError(t, err, out)
	c.Ready()
	assert.NotEqual(t, before, password())
	assert.JSONEq(t, string(answers(up, "/v1/prices/AAPL")), string(answers(c.Server, "/v1/prices/AAPL")))
	c.Import("date,symbol,close\n2030-01-02,AAPL,100\n", "")

	c.Compose("stop", "--timeout", "40", "returns-consumer", "portfolio-api")
	assert.Equal(t, 2, strings.Count(c.Compose("ps", "-a", "--status", "exited", "--format", "{{.Name}} {{.ExitCode}}",
		"returns-consumer", "portfolio-api"), " 0"))
}
