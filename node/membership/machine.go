package membership

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pintle-io/pintle/internal/version"
	"github.com/pintle-io/pintle/node/mount"
)

// Info describes this machine. runtimeVersion is the container runtime's, such
// as "containerd://1.6.20".
func Info(runtimeVersion string) corev1.NodeSystemInfo {
	read := func(file string) string {
		b, err := os.ReadFile(file)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	info := corev1.NodeSystemInfo{
		MachineID:               read("/etc/machine-id"),
		SystemUUID:              read("/sys/class/dmi/id/product_uuid"),
		BootID:                  read("/proc/sys/kernel/random/boot_id"),
		OSImage:                 osImage(),
		ContainerRuntimeVersion: runtimeVersion,
		KubeletVersion:          version.Git(),
		OperatingSystem:         runtime.GOOS,
		Architecture:            runtime.GOARCH,
	}
	if info.SystemUUID == "" {
		info.SystemUUID = info.MachineID
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		info.KernelVersion = unix.ByteSliceToString(u.Release[:])
	}
	return info
}

func osImage() string {
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"`)
		}
	}
	return "Linux"
}

// Capacity is what this machine has: CPUs, memory, the disk that holds dir,
// and room for maxPods pods.
func Capacity(dir string, maxPods int64) corev1.ResourceList {
	out := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(int64(Memory().Total), resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(maxPods, resource.DecimalSI),
	}
	if _, total, _, _, err := mount.Free(dir); err == nil {
		out[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(int64(total), resource.BinarySI)
	}
	return out
}

// MemoryInfo is in bytes.
type MemoryInfo struct{ Total, Available uint64 }

// Memory reads /proc/meminfo.
func Memory() MemoryInfo {
	var m MemoryInfo
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m
	}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 2 {
			continue
		}
		n, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			continue
		}
		switch f[0] {
		case "MemTotal:":
			m.Total = n << 10
		case "MemAvailable:":
			m.Available = n << 10
		}
	}
	return m
}

// Subtract returns a less b, nowhere below zero.
func Subtract(a, b corev1.ResourceList) corev1.ResourceList {
	out := a.DeepCopy()
	for name, q := range b {
		have, ok := out[name]
		if !ok {
			continue
		}
		if have.Sub(q); have.Sign() < 0 {
			have = *resource.NewQuantity(0, have.Format)
		}
		out[name] = have
	}
	return out
}

// Thresholds below which the node is under pressure. Disks are judged by both
// a share and an absolute size, so that a large disk need not be a tenth empty.
const (
	minMemory     = 100 << 20
	minDiskShare  = 10 // percent
	minDisk       = 4 << 30
	minInodeShare = 5
	minPIDShare   = 10
)

// Pressure looks at the machine's memory, tasks and the disks of dirs.
func Pressure(dirs ...string) (memory, disk, pids bool) {
	m := Memory()
	memory = m.Total > 0 && m.Available < minMemory
	for _, d := range dirs {
		free, total, inodesFree, inodes, err := mount.Free(d)
		if err != nil {
			continue
		}
		if free < total*minDiskShare/100 && free < minDisk || inodes > 0 && inodesFree < inodes*minInodeShare/100 {
			disk = true
		}
	}
	return memory, disk, pidPressure()
}

func pidPressure() bool {
	limit, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(limit)), 10, 64)
	var si unix.Sysinfo_t
	if err != nil || unix.Sysinfo(&si) != nil || n == 0 {
		return false
	}
	used := min(uint64(si.Procs), n)
	return (n-used)*100/n < minPIDShare
}

// Address finds the machine's main address: the source of its default route,
// or else the first global address of an interface. Nothing is sent.
func Address() (netip.Addr, bool) {
	// Connecting a datagram socket chooses a route and sends no packet; the
	// destination is reserved for documentation.
	if c, err := net.Dial("udp4", "192.0.2.1:9"); err == nil {
		defer c.Close()
		if a, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil && a.Addr().IsGlobalUnicast() {
			return a.Addr(), true
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, false
	}
	var other netip.Addr
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || !p.Addr().IsGlobalUnicast() {
			continue
		}
		if p.Addr().Is4() {
			return p.Addr(), true
		}
		other = p.Addr()
	}
	return other, other.IsValid()
}
