package correlations

import (
	"testing"

	"stega/internal/servers"
)

func TestSumsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	servers.OnPostgreSQL(
		t, "correlations", TestUpdatedSumsEqualRebuiltSums, TestReturnsTooLargeForExactSums,
		TestErrorsOfDamagedRowsNameTheRebuild,
	)
}
