// Package lease decides which of several servers on one store leads: the one
// whose identity a Lease object names (coordination.k8s.io/v1, in kube-system, as
// upstream's components have it; kubectl get lease -n kube-system shows it).
//
// A holder renews its lease; one who does not for a while is replaced. Only
// durations are compared, each measured by one process on its own clock from what
// that process saw or did, so that clocks need not agree, only run about equally
// fast. A leader stops before anybody else can begin: it counts from before it
// sent its last renewal, all others from after they saw it.
//
// The lease keeps work from being done twice; it does not keep data whole. A
// write that was under way when a leader was cut off may still arrive, and is
// refused by the revision that it names, like any other that comes too late. See
// RATIONALE.md, "Why does a lease not fence writes?".
//
// Begin at [Elector.Run].
package lease
