// Command escape is a plugin that tries to get out of its process. The name of
// the object under review says how; the refusal says how it went.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	_ "github.com/pintle-io/pintle/sdk/process"
	"github.com/pintle-io/pintle/sdk/serve"
)

func main() { serve.Main() }

func init() {
	sdk.Register(sdk.Plugin{Name: "escape", New: func([]byte) (sdk.Points, error) {
		return &admission.Points{Validate: validate}, nil
	}})
}

const regionFD = 3

func validate(r *admission.Review) error {
	act, arg, _ := strings.Cut(r.Name, " ")
	f := acts[act]
	if f == nil {
		return nil
	}
	return r.Deny("%s", f(arg))
}

// say is what an attempt came to.
func say(err error) string {
	if err == nil {
		return "done"
	}
	return err.Error()
}

var acts = map[string]func(arg string) string{
	"truncate": func(string) string { return say(syscall.Ftruncate(regionFD, 0)) },
	"grow":     func(string) string { return say(syscall.Ftruncate(regionFD, 1<<40)) },
	"seal": func(string) string {
		const addSeals, write = 1033, 8
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, regionFD, addSeals, write); errno != 0 {
			return errno.Error()
		}
		return "done"
	},
	"read": func(path string) string {
		_, err := os.ReadFile(path)
		return say(err)
	},
	"list": func(path string) string {
		entries, err := os.ReadDir(path)
		if err != nil {
			return err.Error()
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	},
	"write": func(path string) string { return say(os.WriteFile(path, []byte("x"), 0o600)) },
	"fill": func(path string) string {
		for i := 0; ; i++ {
			if err := os.WriteFile(fmt.Sprintf("%s/%d", path, i), make([]byte, 4<<20), 0o600); err != nil {
				return err.Error()
			}
		}
	},
	"dial": func(address string) string {
		network, address, _ := strings.Cut(address, "/")
		c, err := net.DialTimeout(network, address, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return say(err)
	},
	"userns": func(string) string {
		return say((&exec.Cmd{Path: "/proc/self/exe", SysProcAttr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}}).Run())
	},
	"setuid": func(string) string { return say(syscall.Setuid(0)) },
	"mount":  func(string) string { return say(syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, "")) },
	"kill":   func(string) string { return say(syscall.Kill(-1, syscall.SIGKILL)) },
	"sleepers": func(session string) string {
		// With a session of its own, as a daemon would be, or in the plugin's.
		for range 3 {
			c := exec.Command("/bin/sleep", "1000")
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: session == "own"}
			if err := c.Start(); err != nil {
				return err.Error()
			}
		}
		return "done"
	},
	"bomb": func(string) string {
		for n := 0; n < 10_000; n++ {
			c := exec.Command("/bin/sleep", "1000")
			if err := c.Start(); err != nil {
				return fmt.Sprintf("%d processes, then: %v", n, err)
			}
		}
		return "no limit"
	},
	// Memory that no limit of private memory counts.
	"share": func(flag string) string {
		flags := map[string]uintptr{"shared": syscall.MAP_SHARED | syscall.MAP_ANON, "stack": syscall.MAP_PRIVATE | syscall.MAP_ANON | syscall.MAP_GROWSDOWN}[flag]
		return mapped(^uintptr(0), flags)
	},
	"map": func(path string) string {
		fd, err := syscall.Open(path, syscall.O_RDWR, 0)
		if err != nil {
			return err.Error()
		}
		return mapped(uintptr(fd), syscall.MAP_SHARED)
	},
	"memfd": func(string) string {
		name := [2]byte{'x'}
		return call(sysMemfdCreate, uintptr(unsafe.Pointer(&name[0])), 0, 0)
	},
	"shmget": func(string) string { return call(sysShmget, 0, 1<<30, 0o1600) },
	"msgget": func(string) string { return call(sysMsgget, 0, 0o1600, 0) },
	"semget": func(string) string { return call(sysSemget, 0, 1000, 0o1600) },
	"space": func(string) string {
		// Pages that are only read cost nothing, but their tables do.
		_, _, errno := syscall.Syscall6(syscall.SYS_MMAP, 0, 1<<42, syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_ANON, ^uintptr(0), 0)
		return result(errno)
	},
	"outlive": func(string) string { return call(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, 0, 0) },
	"descriptors": func(string) string {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return err.Error()
		}
		var to []string
		for _, e := range entries {
			if link, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
				link, _, _ = strings.Cut(link, ":")
				to = append(to, link)
			}
		}
		return strings.Join(to, " ")
	},
}

func call(number, a, b, c uintptr) string {
	_, _, errno := syscall.Syscall(number, a, b, c)
	return result(errno)
}

func result(errno syscall.Errno) string {
	if errno != 0 {
		return errno.Error()
	}
	return "done"
}

// mapped maps more than the plugin's memory and writes to a page of it.
func mapped(fd, flags uintptr) string {
	at, _, errno := syscall.Syscall6(syscall.SYS_MMAP, 0, 1<<30, syscall.PROT_READ|syscall.PROT_WRITE, flags, fd, 0)
	if errno != 0 {
		return errno.Error()
	}
	return fmt.Sprintf("done at %#x", at)
}
