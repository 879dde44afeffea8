package marketdata_test

import (
	"testing"

	"stega/internal/servers"
)

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "marketdata", TestTheThreeForms, TestTheSameFileAgainChangesNothingAndACorrectionReplaces,
		TestBigImportsTravelInChunks,
		TestBadFilesAreRefusedAndNothingIsWritten, TestPullFromAFolder, TestPullWithoutAProviderFailsWithWhatToDo,
		TestAdjustedCloses,
		TestAScheduleThatIsDueBringsPricesAndReturns, TestAScheduleCanBeTriggered, TestLifeOfASchedule,
		TestBadSchedulesAreRefusedWithEverythingThatIsWrong, TestThePullSaysWhomToAsk, TestSymbolsAreFound, TestQuotas,
	)
}
