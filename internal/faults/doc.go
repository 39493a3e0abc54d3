// Package faults tries what a cluster's control plane promises while things
// break. Real `pintle server` processes are killed, cut off, run out of disk,
// lose a member of their etcd and find their data damaged; clients record what
// they asked and what they were told, and a checker finds whether anything was
// lost, came twice, or was not told.
//
// It holds tests only. `make faults` runs them for minutes, `make test` in a
// short form. Begin at TestFaults.
package faults
