package portfolio_test

import (
	"testing"

	"stega/internal/servers"
)

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "portfolio", TestLifeOfAPortfolio, TestBadPortfoliosAreRefusedWithEverythingThatIsWrong, TestNamesAreUnique,
		TestOneOfManyAtOnceGetsTheName, TestAnOperationIdIsAnIdempotencyKey, TestListsPage,
	)
}
