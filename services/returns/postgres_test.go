package returns_test

import (
	"testing"

	"stega/internal/servers"
)

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "returns", TestActionsAdjustReturns, TestActionsInAnyOrderGiveTheSameViews, TestStatisticsMatchTheReference,
		TestStatisticsMatchTheSeriesOfTheAnswer, TestBenchmarksAreComparedOnCommonDays,
		TestUndefinedStatisticsHaveAReason,
		TestInvalidQueriesAreRefused, TestWeeksBeginOnMonday, TestPricesThatRecoverExactlyHaveNoReturn,
		TestStatisticsOfRealPrices, TestSeriesOfEveryKind,
		TestEventsInAnyOrderGiveTheSameViews, TestEventsOfReturns, TestEventsAddUpToTheSeries,
	)
}
