// Package authn makes the ways to tell who sends a request that a cluster's people
// configure, beside those that every cluster has (kernel/auth): a front proxy that
// names users in headers, a file of tokens, JSON web tokens of OpenID Connect issuers
// and a webhook that knows tokens. Options are upstream's flags, the file of JWT issuers
// is upstream's AuthenticationConfiguration.
//
// What an issuer or a webhook answers is bounded in size and time, and so is how many
// requests wait for one: while one of them hangs, whoever brings a certificate or a
// service account's token is not kept waiting.
//
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/
//
// Start reading at [Open].
package authn
