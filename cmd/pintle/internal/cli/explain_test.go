package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExplainShowsShares: whoever wonders why a pod is where it is reads what
// each plugin gave each node.
func TestExplainShowsShares(t *testing.T) {
	said := `{"node": "b", "score": 1182, "feasible": 2, "nodes": 3, "scores": {
		"scorers": [
			{"plugin": "scheduling", "members": ["NodeResourcesFit", "ImageLocality"]},
			{"plugin": "prefer-ssd", "members": ["prefer-ssd"], "weight": 10},
			{"plugin": "again", "members": ["prefer-ssd"], "weight": 1}],
		"nodes": [{"node": "b", "score": 1182, "shares": [181, 1000, 1]}, {"node": "a", "score": 190, "shares": [190, 0, 0]}]}}`
	var v verdict
	if err := json.Unmarshal([]byte(said), &v); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	printVerdict(&out, "web", v)
	want := `web was placed on b with score 1182: 2 of 3 nodes could take it.

WHO SCORES             b                a
NodeResourcesFit +
ImageLocality          181              190
prefer-ssd/prefer-ssd  100 × 10 = 1000  0 × 10 = 0
again/prefer-ssd       1                0
in all                 1182             190
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
