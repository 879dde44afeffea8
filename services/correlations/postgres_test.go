package correlations_test

import (
	"testing"

	"stega/internal/servers"
)

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "correlations", TestFiguresOfRealPrices, TestEveryMethodOverAnyWindow, TestWeeksAndMonths,
		TestAnyOrderEndsInTheSameViewsAndAnswers, TestWhatIsToldOfCorrelations, TestAnswersKnowTheirVersion, TestBadQuestionsHaveClearAnswers,
		TestWhatIsNotDefinedSaysWhy, TestSingularAndIndefiniteMatrices,
	)
}
