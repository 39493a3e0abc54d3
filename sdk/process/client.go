//go:build unix

package process

import "github.com/hashicorp/go-plugin"

// Plugins is the kernel's side of the service for go-plugin's client.
func Plugins() map[string]plugin.Plugin { return map[string]plugin.Plugin{Name: grpcPlugin{}} }
