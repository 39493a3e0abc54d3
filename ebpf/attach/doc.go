// Package attach puts eBPF programs where the kernel runs them, and keeps them
// there beyond the process: cgroup hooks, tcx, clsact filters where there is no
// tcx, pinned links, and what the kernel can do. It knows nothing of what a
// program is for; a load balancer and a policy use it alike.
//
// # Links
//
// [Links] are named attachments. A link that a predecessor pinned under the same
// name gets the new program in one step, so that no packet and no call finds
// nothing; one whose target is gone (cgroups and devices come and go under one
// name) is replaced.
//
// # Pins
//
// [Mount] makes a directory one on a BPF file system. Who pins there uses a
// directory for each layout of its maps (lb/v2, …), so that old and new can lie
// beside each other while one takes over.
//
// # Features
//
// [Check] asks the running kernel by trying, never by its version.
//
// A Links may be used concurrently; functions about devices act in the network
// namespace of the calling thread.
package attach
