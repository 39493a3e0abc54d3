// Package schedule is the protocol of the scheduling points: how a scheduler
// tells a plugin about the pod, and which nodes it asks about. Authors of
// plugins have package sdk/scheduling, which repeats the names here that they
// need.
//
// A decision goes like this:
//
//  1. OpDescribe, once: the guest names its members and the columns that they
//     are known to read. The host refuses a column that it does not know.
//  2. OpSnapshot, whenever tables or layout changed: strings, sets and images
//     that are new, and whether the region's header must be read again. A region
//     holds the columns that the guest asked for (sdk/wire/columns).
//  3. OpPreFilter with the pod's record, once per pod. The answer says whether
//     no node can fit, which alone can, what of the pod was looked at, and for
//     which counts of pods by topology domain the filters and scores will look.
//  4. OpCycle with runs of rows, the mask of those that are left in
//     ResultFeasible, and for each count its slot (the key of a DomainPods
//     column) with the fewest and most pods of a domain. Answers lie in the
//     result columns, one run behind the other from position 0.
//  5. OpNormalize, for members that scale their scores themselves.
//
// A guest that meets a column which it does not have answers any of the last
// three with the columns that are missing. The host forgets what else was said,
// adds them, sends OpSnapshot and asks again, from OpPreFilter on. A column with
// a key (a label, an extended resource) that no node has need not come; every
// other one does, or the host refuses the guest with the column's name.
package schedule
