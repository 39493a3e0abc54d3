// Package schedule is the protocol of the scheduling points: how a scheduler
// tells a plugin about the pod, and which nodes it asks about. Authors of
// plugins have package sdk/scheduling, which repeats the names here that they
// need.
package schedule
