// Package columns lays a cluster's nodes out as columns in one block of
// memory that kernel and plugins share.
//
// A region begins with a header (see [Layout]) that names every column by id,
// type and offset, so that a plugin finds what it knows and skips what it does
// not: columns can be added without a new version. All numbers are little
// endian; every column begins on a 64-byte boundary. Row i of every column is
// the same node. Behind that block there may be a second, made alike, whose rows
// are the pods on these nodes (see [PodTable]). Package sdk/scheduling/vector
// computes over columns.
//
// Nothing here is safe for concurrent use with a writer of the same memory.
// RATIONALE.md: "Why does one call carry all nodes, and columns instead of
// objects?"
package columns
