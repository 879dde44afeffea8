package optimization

import (
	"fmt"

	"stega/events"
	"stega/series"
)

func pointsOf(e events.AssetUpdated) []series.Point {
	points := make([]series.Point, len(e.Days))
	for i := range points {
		points[i] = series.Point{Day: e.Days[i], Value: e.Returns[i]}
	}
	return points
}

// unpack appends the points of a packed year.
func unpack(points []series.Point, year int, data []byte) ([]series.Point, error) {
	points, err := series.Unpack(points, year, data)
	if err != nil {
		return nil, fmt.Errorf("%w: rebuild it with stega rebuild --service optimization", err)
	}
	return points, nil
}
