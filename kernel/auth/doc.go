// Package auth finds out who sends a request. It tries, in this order, a front proxy
// that names the user, a client certificate of the cluster's CA, then a bearer token
// (service account, bootstrap token, and those that authn knows), and calls everybody
// else system:anonymous.
//
// What a user may do is decided by the subpackages rbac and node and by webhooks, which
// authz asks in the order that is configured; impersonation says who may act as whom; pki holds
// the keys, token issues and verifies service-account tokens, review answers
// questions about identity and permission, signer answers certificate signing
// requests. The server's own components have identities too (components.go) and are
// asked like clients ([Access]). No credential is ever logged or put into an error.
package auth
