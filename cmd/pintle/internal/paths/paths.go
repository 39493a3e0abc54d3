// Package paths names the files below Pintle's data directory, so that the
// commands agree on them.
package paths

import "path/filepath"

// Default is the data directory of `pintle up`.
const Default = "/var/lib/pintle"

// Dir is a data directory.
type Dir string

// Lock is held (flock) by the running server and contains its pid.
func (d Dir) Lock() string { return d.join("pintle.lock") }

// Log receives the server's output.
func (d Dir) Log() string { return d.join("pintle.log") }

// AdminKubeconfig grants everything; mode 0600.
func (d Dir) AdminKubeconfig() string { return d.join("admin.kubeconfig") }

// PKI holds the cluster's keys and certificates.
func (d Dir) PKI() string { return d.join("pki") }

// Etcd is the embedded etcd's data.
func (d Dir) Etcd() string { return d.join("etcd") }

// Images is the image registry's storage.
func (d Dir) Images() string { return d.join("images") }

// WASM caches compiled plugin modules.
func (d Dir) WASM() string { return d.join("wasm-cache") }

// Node is the node agent's directory.
func (d Dir) Node() string { return d.join("node") }

func (d Dir) join(name string) string { return filepath.Join(string(d), name) }
