package optimization_test

import (
	"testing"

	"stega/internal/servers"
)

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "optimization", TestWholeShares, TestOneThatRunsCanBeCancelledAndTimesOut, TestOneThatFollows,
		TestNothingThatMovesMeanwhileIsLost, TestViewsCanBeRebuilt, TestViewsDoNotDependOnTheOrderOfWhatComes,
		TestWeeksOfSymbolsThatArePricedOnOtherDays, TestReturnsThatSpanDaysWithoutAPrice, TestFigures, TestWhatIsRefusedAtOnce,
		TestWhatTheDataDoNotAllow, TestListsOfOptimizations,
	)
}
