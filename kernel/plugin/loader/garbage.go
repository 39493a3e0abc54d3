package loader

import (
	"context"
	"log/slog"
	"time"
)

// Modules that no Plugin names are kept for keepModules, since they are stored
// before their Plugin, and looked for every collectEvery. Those that a Plugin
// named go at the second look after it names them no longer.
const (
	keepModules  = 10 * time.Minute
	collectEvery = time.Minute
)

// garbage removes modules that no Plugin names any more. It is used by one
// goroutine.
type garbage struct {
	modules Modules
	log     *slog.Logger
	// used are the digests that Plugins named at the last look, past those that
	// they had named before.
	used, past map[string]bool
}

// collect forgets modules of plugins that were replaced or removed; used are the
// digests that Plugins name.
func (g *garbage) collect(ctx context.Context, now time.Time, used map[string]bool) {
	gone := g.past
	g.past = map[string]bool{}
	for digest := range g.used {
		g.past[digest] = !used[digest]
	}
	g.used = used
	removed, err := g.modules.Collect(ctx, func(digest string, stored time.Time) bool {
		return used[digest] || !gone[digest] && stored.After(now.Add(-keepModules))
	})
	if err != nil && ctx.Err() == nil {
		g.log.Warn("unused modules are not removed", "error", err)
	}
	for _, digest := range removed {
		g.log.Info("unused module removed", "digest", digest)
	}
}
