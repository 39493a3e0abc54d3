package lb

import (
	"os"

	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/ebpf/bpf"
)

// Sockets translates where processes name their peers: at the hooks of a cgroup.
type Sockets struct {
	cgroup   string // "": no socket is translated
	programs *bpf.LBPrograms
	links    *attach.Links
	takeOver func() error // from a predecessor, before anything is attached

	// predecessor is the pin of a hook that runs a predecessor's program if we
	// found no service and attached nothing; "": there is none such.
	predecessor string
}

type socketHook struct {
	name    string
	at      ebpf.AttachType
	program *ebpf.Program
}

// back are the hooks that show a peer's name as it was asked for.
func (s *Sockets) back() []socketHook {
	p := s.programs
	return []socketHook{
		{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg, p.LbRecvmsg4},
		{"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg, p.LbRecvmsg6},
		{"getpeername4", ebpf.AttachCgroupInet4GetPeername, p.LbGetpeername4},
		{"getpeername6", ebpf.AttachCgroupInet6GetPeername, p.LbGetpeername6},
	}
}

// there are the hooks that choose a backend.
func (s *Sockets) there() []socketHook {
	p := s.programs
	return []socketHook{
		{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, p.LbSendmsg4},
		{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, p.LbSendmsg6},
		{"connect4", ebpf.AttachCGroupInet4Connect, p.LbConnect4},
		{"connect6", ebpf.AttachCGroupInet6Connect, p.LbConnect6},
	}
}

// Attach translates the sockets of [Config.CgroupPath] from now on. Links that
// a predecessor pinned get this version's programs, each in one step. Beside
// programs of others on the same cgroup, all are run. A predecessor whose maps
// had another layout is replaced at its devices, too, so that no connection is
// lost: call it on a thread in the network namespace of the devices.
func (s *Sockets) Attach() error {
	if err := s.takeOver(); err != nil {
		return err
	}
	// The ways back first: a reply must find its way before a request goes.
	if err := s.attach(s.back(), ""); err != nil {
		return err
	}
	return s.attach(s.there(), "")
}

// Stale reports whether sockets are translated by a predecessor's programs from
// maps that Open could not take over. They serve what they know until Attach.
func (s *Sockets) Stale() bool {
	if s.predecessor == "" || s.links.Active() {
		return false
	}
	_, err := os.Stat(s.predecessor)
	return err == nil
}

// attach runs programs at hooks, by links of their names and the suffix.
func (s *Sockets) attach(hooks []socketHook, suffix string) error {
	if s.cgroup == "" {
		return nil
	}
	for _, h := range hooks {
		at, err := attach.NewCgroup(s.cgroup, h.at)
		if err != nil {
			return err
		}
		if err := s.links.Attach(h.name+suffix, at, h.program); err != nil {
			return err
		}
	}
	return nil
}
