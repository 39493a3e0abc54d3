// Package sandbox confines a child process before its first instruction: an
// unprivileged user without capabilities, in user, mount, pid, network, IPC and
// UTS namespaces of its own, with limits. It starts this very binary again under
// another name ([Start]); an init of this package sees the name, sets the
// confinement up from inside and executes the program, so that nothing of it
// runs with more.
//
// What the program may do is said in docs/plugins.md. Start at Start.
// RATIONALE.md: "Why does a plugin process begin as a second copy of the
// server?"
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// SocketDir is where the program finds its own folder for sockets.
const SocketDir = "/run/plugin"

// Descriptors in the child: the program finds its shared region at RegionFD, as
// sdk/process has it. The executable's is closed when it is executed.
const (
	RegionFD = 3
	exeFD    = 4
)

// name is what the binary is started as to confine itself.
const name = "pintle-plugin-sandbox"

// inside is the user's and group's number in the user namespace.
const inside = 1000

// Spec says how a program is confined.
type Spec struct {
	// Confined has the program in namespaces. Else it has the rights of this
	// process, with the limits below.
	Confined bool
	// SocketDir on the host becomes [SocketDir]; it belongs to User.
	SocketDir string
	// User is the host's number of the user and group that the program has when
	// it is confined.
	User uint32
	// Memory bounds the private memory of the process, in bytes.
	Memory int64
}

// Limits of a process, beside its memory.
const (
	// MaxThreads bounds the threads of a confined program, which is one process.
	MaxThreads = 256
	// MaxFiles bounds the open files.
	MaxFiles = 256
	// MaxFileSize bounds a file that is written, in bytes.
	MaxFileSize = 16 << 20
	// MaxTemp bounds all files of a confined program, in bytes; they are in
	// memory.
	MaxTemp = 16 << 20
	// MaxSpace bounds the addresses of a confined program beyond its memory, since
	// the tables of what it only reads are memory, too: a 512th of it.
	MaxSpace = 64 << 30
)

// ErrUnsupported: this system does not let a process be confined.
var ErrUnsupported = errors.New("this system does not let plugin processes be confined")

// Start starts the program in exe with the environment, output and first extra
// file of cmd. The child gets SIGKILL when the thread ends that calls Start: it
// must be one that lasts ([runtime.LockOSThread]). All that it started goes with
// it when it is confined.
func Start(cmd *exec.Cmd, exe *os.File, s Spec) error {
	conf, err := json.Marshal(s)
	if err != nil {
		return err
	}
	cmd.Path, cmd.Args = "/proc/self/exe", []string{name, string(conf)}
	cmd.Dir, cmd.Stdin = "/", nil
	if len(cmd.ExtraFiles) != 1 {
		return fmt.Errorf("sandbox: %d extra files, want the region alone", len(cmd.ExtraFiles))
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, exe)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.Confined {
		confine(cmd.SysProcAttr, s.User)
	}
	err = cmd.Start()
	if s.Confined && errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: other users may not execute %s, which confines them (chmod o+rx)", ErrUnsupported, executable())
	}
	if s.Confined && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

// executable is the path of this binary, for messages.
func executable() string {
	path, err := os.Executable()
	if err != nil {
		return "the server's executable"
	}
	return path
}

func confine(a *syscall.SysProcAttr, id uint32) {
	root := os.Geteuid() == 0
	a.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: inside, HostID: int(id), Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: inside, HostID: int(id), Size: 1}}
	if !root {
		a.GidMappings[0].HostID = os.Getegid()
	}
	a.GidMappingsEnableSetgroups = root
	a.Credential = &syscall.Credential{Uid: inside, Gid: inside, NoSetGroups: !root}
	// Kept until the confinement is complete, in the new user namespace only.
	a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP, unix.CAP_SYS_RESOURCE}
}
