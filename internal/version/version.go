// Package version says which Pintle this is and which Kubernetes API level it
// speaks. The values are set by the Makefile through -ldflags -X.
package version

import (
	"runtime"
	"strings"
)

// Kubernetes is the API level that the server announces.
const Kubernetes = "v1.37.2"

// Major is the first part of Kubernetes, "1".
func Major() string { return strings.Split(Kubernetes[1:], ".")[0] }

// Minor is the second, "37".
func Minor() string { return strings.Split(Kubernetes[1:], ".")[1] }

// Pintle is this build's own version, Commit its revision in version control.
var (
	Pintle = "v0.1.0"
	Commit = "unknown"
)

// Git is the gitVersion that /version answers: the Kubernetes level, with
// Pintle's version as build metadata so that clients which compare versions
// see the level.
func Git() string { return Kubernetes + "+pintle-" + Pintle }

// Platform is the operating system and architecture, as Kubernetes writes it.
func Platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
