// Package authz decides what a user may do: it asks the authorizers that a cluster's
// people configured, in their order (Node and RBAC, unless they say otherwise), until
// one allows or denies. Options are upstream's flags; the file is upstream's
// AuthorizationConfiguration, and followed while the server runs.
//
// Members of system:masters are allowed everything before anybody is asked: a chain
// that locks everybody out does not lock them out.
//
// https://kubernetes.io/docs/reference/access-authn-authz/authorization/
//
// Start reading at [Open].
package authz
