// Package imagelocality is the scheduling score that favors nodes which
// already have the pod's images, the more of the cluster has an image the
// more, so that pods do not crowd on the one node that pulled it first.
package imagelocality

import (
	"strings"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// Name of the plugin in profiles and messages.
const Name = "ImageLocality"

// Below low an image costs nothing to pull; above high, for each container,
// more makes no difference.
const (
	mb   = 1 << 20
	low  = 23 * mb
	high = 1000 * mb
)

func init() {
	sdk.Register(sdk.Plugin{Name: "imagelocality", New: func(config []byte) (sdk.Points, error) { return New(config) }})
}

// New makes an instance; it takes no config.
func New([]byte) (*scheduling.Points, error) {
	t := &plugin{}
	return &scheduling.Points{PreScore: t.preScore, ScoreAll: t.score}, nil
}

// plugin holds the score of each distinct set of images.
type plugin struct{ scores []int64 }

func (t *plugin) preScore(p *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
	type image struct {
		name  string
		bytes int64
	}
	var known []image
	for _, name := range p.Images() {
		name = withTag(name)
		if m, ok := s.Image(name); ok {
			spread := float64(m.Nodes) / float64(max(s.Len(), 1))
			known = append(known, image{name, int64(float64(m.Size) * spread)})
		}
	}
	if len(known) == 0 {
		return scheduling.Skip()
	}
	t.scores = t.scores[:0]
	count := int64(len(p.Images()))
	s.ImageSets(func(_ int, has func(string) bool) {
		var sum int64
		for _, m := range known {
			if has(m.name) {
				sum += m.bytes
			}
		}
		t.scores = append(t.scores, scaled(sum, count))
	})
	return nil
}

func (t *plugin) score(c *scheduling.Cycle) {
	vector.LookupAdd(c.Scores(), c.Rows(), c.Uint32(scheduling.ImageSet), t.scores)
}

func scaled(sum, images int64) int64 {
	top := high * images
	sum = min(max(sum, low), top)
	return scheduling.MaxNodeScore * (sum - low) / (top - low)
}

// withTag gives a name the tag that runtimes report for it.
func withTag(name string) string {
	if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") {
		return name + ":latest"
	}
	return name
}
