// Package cni prepares a node's pod network and keeps it: the bridge, the
// configuration that container runtimes find the plugin by (node/cni/plugin),
// forwarding, guards under the virtual ranges and routes to other nodes
// (node/cni/routes), masquerading where pods may reach the outside, and host
// ports, which the plugin writes down and this package hands to the load
// balancer.
//
// Everything that it makes is found again by name after a restart, made again
// if it is missing, and taken away by [Network.Cleanup].
package cni
