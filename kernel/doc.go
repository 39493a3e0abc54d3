// Package kernel is the composition root of the control plane: it makes the
// store, the watch cache, the registry, authentication and authorization, the
// API server, the reconcile manager, the scheduler and the plugin loader, and
// joins them. It has no logic of its own, and no kind: kinds reach it as a
// resource.Table, policies and controllers as plugins.
//
// [New] opens what can fail early (the store, keys), [Kernel.Run] runs
// everything until its context ends.
//
// RATIONALE.md: "Kernel"
package kernel
