// Package api is the root of the light API types: Kubernetes' field names and
// JSON tags without its code and dependencies. Its folders are written by
// internal/lightgen; helpers beside the generated files are written by hand.
// RATIONALE.md: "Why does the SDK have its own API types?"
package api

//go:generate go -C ../.. run ./internal/lightgen -out sdk/api
