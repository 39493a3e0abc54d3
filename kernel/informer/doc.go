// Package informer is the one loop by which everything in this process follows
// a resource: it lists, watches, resumes a watch behind the last revision that
// it handed over, lists again when that revision is gone, and waits between
// failures, longer each time. What it hands over are the watch cache's own
// objects: shared, never to be modified.
//
// A [Handler] decides what becomes of them. [Updates] sends them to a goroutine
// that selects over a channel; [Differ] turns the list that follows a lost watch
// into the events that were missed; [Index] finds objects by owner, by node, or
// by whatever a function reads from them. None keeps a copy of what the watch
// cache has, and only a Differ remembers what it has told.
//
// It must never drop an error silently, and never write. Begin at [Informer.Run].
// RATIONALE.md: "Why does an informer keep no objects?"
package informer
