// Package schedule is the protocol of the scheduling points: how a scheduler
// tells a plugin about the pod, and which nodes it asks about. Authors of
// plugins have package sdk/scheduling, which repeats the names here that they
// need.
//
// A decision goes like this:
//
//  1. OpDescribe and OpProfile, once: the guest names its members, the columns
//     that they are known to read and, of those that the profile uses, the fields
//     of pods. The host refuses a column that it does not know.
//  2. OpSnapshot, whenever tables or layout changed: strings, sets and images
//     that are new, and whether the region's header must be read again. A region
//     holds the columns that the guest asked for (sdk/wire/columns).
//  3. OpPreFilter with the pod's record (sdk/wire/record) of those fields, once
//     per pod. The answer says whether no node can fit, which alone can, what
//     beyond pod and row was looked at, and for which counts of pods by topology
//     domain the filters and scores will look.
//  4. OpCycle with runs of rows, the mask of those that are left in
//     ResultFeasible, and for each count its slot (the key of a DomainPods
//     column) with the fewest and most pods of a domain. Answers lie in the
//     result columns, one run behind the other from position 0.
//  5. OpNormalize, for members that scale their scores themselves.
//  6. OpReserve, when a node was chosen, to the members that the answer to OpPreFilter
//     names. What they keep about the pod (state), and how they are about to change
//     objects, the host holds for them.
//  7. OpPreBind, to those that have something to do before the pod is bound, on other
//     instances, again and again until all are done; OpUnreserve to all when nothing
//     comes of it.
//
// A guest that meets a column or a field of the pod which it does not have answers
// any of the last three with what is [Missing]. The host forgets what else was
// said, adds it, and asks again, from OpPreFilter on. A field that no pod has, or
// that the host does not know, is zero. A column with
// a key (a label, an extended resource) that no node has need not come; every
// other one does, or the host refuses the guest with the column's name.
package schedule
