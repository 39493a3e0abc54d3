// Package testenv gives tests the real things that they need, in a place where
// they can hurt nobody: network namespaces without a way out, cgroup2
// directories to throw away. A test that cannot have what it needs skips with
// the reason; where REQUIRE_REAL or CI is set in the environment, it fails.
package testenv
