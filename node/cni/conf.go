package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"

	"github.com/pintle-io/pintle/internal/atomicfile"
	"github.com/pintle-io/pintle/node/cni/plugin"
	"github.com/pintle-io/pintle/node/dump"
)

// defaultMTU is used where no device has the node's address.
const defaultMTU = 1500

// mtu is the configured one, or that of the device which has the node's address.
func (n *Network) mtu() (int, error) {
	if n.cfg.MTU > 0 {
		return n.cfg.MTU, nil
	}
	addrs, err := dump.Addrs(nil)
	if err != nil {
		return 0, fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP); !ok || ip.Unmap() != n.cfg.NodeIP || ip.IsLoopback() {
			continue
		}
		l, err := netlink.LinkByIndex(a.LinkIndex)
		if err != nil {
			return 0, fmt.Errorf("find the device of %s: %w", n.cfg.NodeIP, err)
		}
		if l.Attrs().Flags&net.FlagLoopback != 0 {
			break // a machine without a network; a bridge takes no MTU as large
		}
		return l.Attrs().MTU, nil
	}
	return defaultMTU, nil
}

// forwarding lets the kernel route between pods and the world.
func forwarding() error {
	const path = "/proc/sys/net/ipv4/ip_forward"
	if b, err := os.ReadFile(path); err == nil && len(b) > 0 && b[0] == '1' {
		return nil // also where /proc/sys is read-only
	}
	if err := os.WriteFile(path, []byte("1"), 0); err != nil {
		return fmt.Errorf("switch on forwarding: %w", err)
	}
	return nil
}

// writeConf tells the runtime about the network.
func (n *Network) writeConf(pods netip.Prefix, mtu int) error {
	type entry struct {
		Type         string          `json:"type"`
		Bridge       string          `json:"bridge"`
		PodCIDR      netip.Prefix    `json:"podCIDR"`
		MTU          int             `json:"mtu"`
		DataDir      string          `json:"dataDir"`
		Capabilities map[string]bool `json:"capabilities"`
	}
	conf := struct {
		CNIVersion string  `json:"cniVersion"`
		Name       string  `json:"name"`
		Plugins    []entry `json:"plugins"`
	}{
		n.cfg.Version, "pintle",
		[]entry{{plugin.Type, n.cfg.Bridge, pods, mtu, n.cfg.DataDir, map[string]bool{"portMappings": true}}},
	}
	b, err := json.MarshalIndent(conf, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(n.cfg.ConfDir, confName), append(b, '\n'), 0o644)
}

// writeFile replaces a file whole, in a directory that may be missing. What a
// crash leaves has a name that no runtime takes for a configuration.
func writeFile(path string, b []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(path, b, mode)
}

// install puts the plugin into the runtime's directory, under both its names.
// One that runs is not disturbed.
func (n *Network) install() error {
	if n.cfg.Executable == "" {
		return nil
	}
	f, err := os.Open(n.cfg.Executable)
	if err != nil {
		return fmt.Errorf("install the CNI plugin: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("install the CNI plugin: %w", err)
	}
	if err := writeFile(filepath.Join(n.cfg.BinDir, plugin.Type), b, 0o755); err != nil {
		return fmt.Errorf("install the CNI plugin: %w", err)
	}
	link := filepath.Join(n.cfg.BinDir, plugin.LoopbackType)
	// The runtime's own loopback plugin does as well, and is not ours to replace.
	if err := os.Symlink(plugin.Type, link); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("install the CNI plugin: %w", err)
	}
	return nil
}
