package returns

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/api"
)

// compute sets the fields of an answer by their order.
func TestAnswersHaveAFieldForEachStatisticInTheOrderOfTheTable(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		answer reflect.Type
		list   []statistic
	}{
		{reflect.TypeFor[api.Statistics](), statistics},
		{reflect.TypeFor[api.RelativeStatistics](), relatives},
	} {
		require.Equal(t, len(of.list), of.answer.NumField(), of.answer)
		for i, f := range of.list {
			assert.Equal(t, f.name, of.answer.Field(i).Tag.Get("json"), of.answer)
		}
	}
}
