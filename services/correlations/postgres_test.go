package correlations_test

import (
	"testing"

	"stega/internal/servers"
)

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "correlations", TestMatricesOfRealPrices, TestEveryMethodOverAnyWindow, TestWeeksAndMonths,
		TestEventsInAnyOrderGiveTheSameViewsAndAnswers, TestEventsOfCorrelations, TestAnswersHaveAnEntityTag,
		TestInvalidQueriesAreRefused,
		TestUndefinedCellsHaveAReason, TestSingularAndIndefiniteMatrices,
	)
}
