// Package resources is the vocabulary of kinds: every built-in kind of
// Kubernetes v1.37 that is served by default, as data. It gives each its
// names, its place in the store, its defaults, its validation, what a client
// may not set, its columns and its schema, and hands all of it to the kernel as
// one [resource.Table].
//
// What is common to kinds (status, generation, conversion) is written once, in
// rule.go, and parameterised by a kind's types; the tables in kinds_*.go say
// the rest. What only one kind has stands in its own files (pod_*.go,
// service_*.go). Types, defaults, conversions, validation and printers come
// from k8s.io/kubernetes; this is the only package that imports it.
//
// Hooks work on the hub version. They convert to the internal version, which
// validation wants, and may share memory with the object they were given;
// they never change an old object.
package resources
