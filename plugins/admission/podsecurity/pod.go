package podsecurity

import (
	"github.com/pintle-io/pintle/sdk"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// pod is what counts of a pod, or of the template of one.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		OS struct {
			Name string `json:"name"`
		} `json:"os"`
		HostUsers           *bool            `json:"hostUsers"`
		HostNetwork         bool             `json:"hostNetwork"`
		HostPID             bool             `json:"hostPID"`
		HostIPC             bool             `json:"hostIPC"`
		RuntimeClassName    string           `json:"runtimeClassName"`
		SecurityContext     securityContext  `json:"securityContext"`
		Volumes             []map[string]any `json:"volumes"`
		InitContainers      []container      `json:"initContainers"`
		Containers          []container      `json:"containers"`
		EphemeralContainers []container      `json:"ephemeralContainers"`
	} `json:"spec"`
}

// APIResource implements client.Object.
func (*pod) APIResource() string { return pods }

type container struct {
	Name            string          `json:"name"`
	SecurityContext securityContext `json:"securityContext"`
	Ports           []struct {
		HostPort int32 `json:"hostPort"`
	} `json:"ports"`
	LivenessProbe  handler `json:"livenessProbe"`
	ReadinessProbe handler `json:"readinessProbe"`
	StartupProbe   handler `json:"startupProbe"`
	Lifecycle      struct {
		PostStart handler `json:"postStart"`
		PreStop   handler `json:"preStop"`
	} `json:"lifecycle"`
}

// securityContext is that of a pod or of a container.
type securityContext struct {
	AllowPrivilegeEscalation *bool         `json:"allowPrivilegeEscalation"`
	AppArmorProfile          *profile      `json:"appArmorProfile"`
	Capabilities             *capabilities `json:"capabilities"`
	Privileged               bool          `json:"privileged"`
	ProcMount                *string       `json:"procMount"`
	RunAsNonRoot             *bool         `json:"runAsNonRoot"`
	RunAsUser                *int64        `json:"runAsUser"`
	SELinuxOptions           struct {
		User string `json:"user"`
		Role string `json:"role"`
		Type string `json:"type"`
	} `json:"seLinuxOptions"`
	SeccompProfile *profile `json:"seccompProfile"`
	Sysctls        []struct {
		Name string `json:"name"`
	} `json:"sysctls"`
	WindowsOptions struct {
		HostProcess bool `json:"hostProcess"`
	} `json:"windowsOptions"`
}

type profile struct {
	Type string `json:"type"`
}

type capabilities struct {
	Add  []string `json:"add"`
	Drop []string `json:"drop"`
}

// handler is of a probe, or of an event of the life of a container.
type handler struct {
	HTTPGet struct {
		Host string `json:"host"`
	} `json:"httpGet"`
	TCPSocket struct {
		Host string `json:"host"`
	} `json:"tcpSocket"`
}

// containers calls f for every container, in the order in which they are told of.
func (p *pod) containers(f func(*container)) {
	for _, list := range [][]container{p.Spec.InitContainers, p.Spec.Containers, p.Spec.EphemeralContainers} {
		for i := range list {
			f(&list[i])
		}
	}
}

// windows tells whether the pod is for Windows.
func (p *pod) windows() bool { return p.Spec.OS.Name == "windows" }

// ownUsers tells whether the pod's users are not those of the node.
func (p *pod) ownUsers() bool { return p.Spec.HostUsers != nil && !*p.Spec.HostUsers }

// fields are what the rule reads: of pods the fields that count, of workloads, which
// are written rarely, the whole template.
var fields = func() []string {
	out := []string{"metadata.labels", "metadata.annotations", "template", "spec.template", "spec.jobTemplate",
		"spec.os.name", "spec.hostUsers", "spec.hostNetwork", "spec.hostPID", "spec.hostIPC", "spec.runtimeClassName", "spec.securityContext", "spec.volumes"}
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, field := range []string{"name", "image", "securityContext", "ports.hostPort", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"} {
			out = append(out, "spec."+list+"."+field)
		}
	}
	return out
}()

// significant tells whether an update of a pod adds containers or changes images: no
// other update can change what the checks look at.
func significant(now, old sdk.Value) bool {
	for _, list := range []string{"spec.containers", "spec.initContainers"} {
		a, b := now.Get(list), old.Get(list)
		if a.Len() != b.Len() {
			return true
		}
		for i, c := range a.Items() {
			if c.Key("image").String() != b.Index(i).Key("image").String() {
				return true
			}
		}
	}
	images := map[string]string{}
	for _, c := range old.Get("spec.ephemeralContainers").Items() {
		images[c.Key("name").String()] = c.Key("image").String()
	}
	for _, c := range now.Get("spec.ephemeralContainers").Items() {
		if image, ok := images[c.Key("name").String()]; !ok || image != c.Key("image").String() {
			return true
		}
	}
	return false
}
