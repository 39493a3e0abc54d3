// Package kinds is the vocabulary of kinds: every built-in kind of Kubernetes
// v1.37 that is served by default, as data. It hands all of them to the kernel
// as one [resource.Table].
//
// Each API group is a package below: it gives its kinds their names, their
// place in the store, their defaults, their validation, what a client may not
// set and their hooks, and brings their types into legacyscheme. What is common
// to kinds is the package kind; those that hold a template of pods share
// podtemplate. Groups do not import one another.
//
// Types, defaults, conversions, validation and printers come from
// k8s.io/kubernetes; only these packages import it.
package kinds
