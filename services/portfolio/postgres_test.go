package portfolio_test

import (
	"testing"

	"stega/internal/servers"
)

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "portfolio", TestLifeOfAPortfolio, TestInvalidPortfoliosAreRefusedWithEveryError, TestNamesAreUnique,
		TestOneOfManyConcurrentClientsGetsTheName, TestAnOperationIdIsAnIdempotencyKey, TestListsPage,
	)
}
