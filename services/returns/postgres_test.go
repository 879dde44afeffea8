package returns_test

import (
	"testing"

	"stega/internal/servers"
)

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "returns", TestActionsAdjustReturns, TestActionsInAnyOrderEndInTheSameViews, TestFiguresOfTheReference,
		TestFiguresAreThoseOfTheSeriesThatIsShown, TestABenchmarkIsComparedWithOnCommonDays, TestWhatIsNotDefinedSaysWhy,
		TestBadQuestionsAboutReturns, TestWeeksBeginOnMonday, TestPricesThatComeBackAreBack, TestFiguresOfRealPrices, TestSeriesOfEveryKind,
		TestAnyOrderEndsInTheSameViews, TestWhatIsToldOfReturns, TestWhatIsToldMakesTheSeries,
	)
}
