package optimization

import (
	"fmt"

	"stega/series"
)

// unpack appends the points of a packed year. Its error names the command that repairs the data.
func unpack(points []series.Point, year int, data []byte) ([]series.Point, error) {
	points, err := series.Unpack(points, year, data)
	if err != nil {
		return nil, fmt.Errorf("%w: rebuild it with stega rebuild --service optimization", err)
	}
	return points, nil
}
