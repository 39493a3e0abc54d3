// Package layout1 reads the first layout of the load balancer's maps (IPv4
// only, pinned in DIR/maps) and copies what they hold into the present one, so
// that an agent that is upgraded drops nothing. It attaches nothing; package lb
// does, and decides when to copy.
//
// The objects in testdata are those of the last version with this layout, as
// bpf2go made them from its sources: what a test loads is what a machine runs
// before the upgrade. A later layout gets a package like this one for its
// predecessor.
package layout1
