package lb

import (
	"github.com/cilium/ebpf"

	"github.com/pintle-io/pintle/ebpf/attach"
	"github.com/pintle-io/pintle/ebpf/bpf"
)

// Sockets translates where processes name their peers: at the hooks of a cgroup.
type Sockets struct {
	cgroup   string // "": no socket is translated
	programs *bpf.LBPrograms
	links    *attach.Links
}

type socketHook struct {
	name    string
	at      ebpf.AttachType
	program *ebpf.Program
}

func (s *Sockets) hooks() []socketHook {
	p := s.programs
	// The ways back first: a reply must find its way before a request goes.
	return []socketHook{
		{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg, p.LbRecvmsg4},
		{"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg, p.LbRecvmsg6},
		{"getpeername4", ebpf.AttachCgroupInet4GetPeername, p.LbGetpeername4},
		{"getpeername6", ebpf.AttachCgroupInet6GetPeername, p.LbGetpeername6},
		{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, p.LbSendmsg4},
		{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, p.LbSendmsg6},
		{"connect4", ebpf.AttachCGroupInet4Connect, p.LbConnect4},
		{"connect6", ebpf.AttachCGroupInet6Connect, p.LbConnect6},
	}
}

// Attach translates the sockets of [Config.CgroupPath] from now on. Links that
// a predecessor pinned get this version's programs, each in one step. Beside
// programs of others on the same cgroup, all are run.
func (s *Sockets) Attach() error {
	if s.cgroup == "" {
		return nil
	}
	for _, h := range s.hooks() {
		at, err := attach.NewCgroup(s.cgroup, h.at)
		if err != nil {
			return err
		}
		if err := s.links.Attach(h.name, at, h.program); err != nil {
			return err
		}
	}
	return nil
}
