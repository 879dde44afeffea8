package optimization_test

import (
	"testing"

	"stega/internal/servers"
)

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "optimization", TestWholeShares, TestARunCanBeCancelledAndTimesOut, TestAnOptimizationFollowsItsPortfolio,
		TestChangesDuringARunCauseAnother, TestViewsCanBeRebuilt, TestViewsDoNotDependOnTheOrderOfEvents,
		TestWeeksOfSymbolsWithPricesOnDifferentDays, TestReturnsOverDaysWithoutAPrice, TestResultsMatchTheReference,
		TestInvalidRequestsAreRefusedAtOnce,
		TestFailuresThatDependOnTheData, TestListsOfOptimizations,
	)
}
