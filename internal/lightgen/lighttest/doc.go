// Package lighttest compares the light types of sdk/api with the types of
// k8s.io/api that they were written from: what one encodes, the other must
// read, with nothing lost.
package lighttest
