package watch

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// LoadLate is Load by a caller that found the resource unread and was overtaken
// before it asked for the reading.
func (c *Cache) LoadLate(ctx context.Context, gr schema.GroupResource) error {
	return c.resources.read(ctx, c.resources.state(gr))
}
