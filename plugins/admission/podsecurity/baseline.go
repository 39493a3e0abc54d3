package podsecurity

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func appArmor(p *pod) (string, string) {
	var values, containers, annotations []string
	bad := func(c *securityContext) bool {
		if c.AppArmorProfile == nil || c.AppArmorProfile.Type == "RuntimeDefault" || c.AppArmorProfile.Type == "Localhost" {
			return false
		}
		values = append(values, c.AppArmorProfile.Type)
		return true
	}
	byPod := bad(&p.Spec.SecurityContext)
	p.containers(func(c *container) {
		if bad(&c.SecurityContext) {
			containers = append(containers, c.Name)
		}
	})
	for key, v := range p.Annotations {
		if strings.HasPrefix(key, "container.apparmor.security.beta.kubernetes.io/") && v != "" && v != "runtime/default" && !strings.HasPrefix(v, "localhost/") {
			annotations = append(annotations, fmt.Sprintf("%s=%q", key, v))
		}
	}
	who := setters(byPod, containers)
	values = append(sorted(values), sorted(annotations)...)
	if len(annotations) > 0 {
		if who != "" {
			who += " and "
		}
		who += plural("annotation", len(annotations))
	}
	if who == "" {
		return "", ""
	}
	return plural("forbidden AppArmor profile", len(values)), fmt.Sprintf("%s must not set AppArmor profile type to %s", who, quoted(values))
}

// usual are the capabilities that runtimes give.
var usual = []string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}

func capabilitiesBaseline(p *pod) (string, string) {
	containers, added := adding(p, usual)
	if len(containers) == 0 {
		return "", ""
	}
	return "non-default capabilities", forbiddenCapabilities(containers, added)
}

// adding finds the containers that add other capabilities than may be added.
func adding(p *pod, may []string) (containers, added []string) {
	p.containers(func(c *container) {
		if c.SecurityContext.Capabilities == nil {
			return
		}
		n := len(added)
		for _, x := range c.SecurityContext.Capabilities.Add {
			if !slices.Contains(may, x) {
				added = append(added, x)
			}
		}
		if len(added) > n {
			containers = append(containers, c.Name)
		}
	})
	return containers, sorted(added)
}

func forbiddenCapabilities(containers, added []string) string {
	return fmt.Sprintf("%s must not include %s in securityContext.capabilities.add", setters(false, containers), quoted(added))
}

func hostNamespaces(p *pod) (string, string) {
	var out []string
	for _, x := range []struct {
		set  bool
		name string
	}{{p.Spec.HostNetwork, "hostNetwork"}, {p.Spec.HostPID, "hostPID"}, {p.Spec.HostIPC, "hostIPC"}} {
		if x.set {
			out = append(out, x.name+"=true")
		}
	}
	if len(out) == 0 {
		return "", ""
	}
	return "host namespaces", strings.Join(out, ", ")
}

func hostPaths(p *pod) (string, string) {
	var names []string
	for _, v := range p.Spec.Volumes {
		if v["hostPath"] != nil {
			names = append(names, nameOf(v))
		}
	}
	if len(names) == 0 {
		return "", ""
	}
	return "hostPath volumes", plural("volume", len(names)) + " " + quoted(names)
}

func nameOf(volume map[string]any) string {
	name, _ := volume["name"].(string)
	return name
}

func hostPorts(p *pod) (string, string) {
	var containers, ports []string
	p.containers(func(c *container) {
		n := len(ports)
		for _, port := range c.Ports {
			if port.HostPort != 0 {
				ports = append(ports, strconv.Itoa(int(port.HostPort)))
			}
		}
		if len(ports) > n {
			containers = append(containers, c.Name)
		}
	})
	if len(containers) == 0 {
		return "", ""
	}
	ports = sorted(ports)
	return "hostPort", fmt.Sprintf("%s %s %s %s", setters(false, containers), uses(len(containers)), plural("hostPort", len(ports)), strings.Join(ports, ", "))
}

func hostHandlers(p *pod) (string, string) {
	var containers, hosts []string
	p.containers(func(c *container) {
		for _, h := range []*handler{&c.LivenessProbe, &c.ReadinessProbe, &c.StartupProbe, &c.Lifecycle.PostStart, &c.Lifecycle.PreStop} {
			for _, host := range []string{h.HTTPGet.Host, h.TCPSocket.Host} {
				if host != "" {
					containers, hosts = append(containers, c.Name), append(hosts, host)
				}
			}
		}
	})
	if len(containers) == 0 {
		return "", ""
	}
	containers, hosts = sorted(containers), sorted(hosts)
	return "probe or lifecycle host", fmt.Sprintf("%s %s %s %s", setters(false, containers), uses(len(containers)), plural("probe or lifecycle host", len(hosts)), quoted(hosts))
}

func privilegedContainers(p *pod) (string, string) {
	var containers []string
	p.containers(func(c *container) {
		if c.SecurityContext.Privileged {
			containers = append(containers, c.Name)
		}
	})
	if len(containers) == 0 {
		return "", ""
	}
	return "privileged", setters(false, containers) + " must not set securityContext.privileged=true"
}

func procMount(p *pod) (string, string) {
	var containers, types []string
	p.containers(func(c *container) {
		if m := c.SecurityContext.ProcMount; m != nil && *m != "Default" {
			containers, types = append(containers, c.Name), append(types, *m)
		}
	})
	if len(containers) == 0 {
		return "", ""
	}
	return "procMount", fmt.Sprintf("%s must not set securityContext.procMount to %s", setters(false, containers), quoted(sorted(types)))
}

// seLinux allows the types of a minor version.
func seLinux(minor int) func(*pod) (string, string) {
	may := []string{"", "container_t", "container_init_t", "container_kvm_t"}
	if minor >= 31 {
		may = append(may, "container_engine_t")
	}
	return func(p *pod) (string, string) {
		var types, containers []string
		user, role := false, false
		bad := func(c *securityContext) bool {
			o := &c.SELinuxOptions
			wrong := !slices.Contains(may, o.Type)
			if wrong {
				types = append(types, o.Type)
			}
			user, role = user || o.User != "", role || o.Role != ""
			return wrong || o.User != "" || o.Role != ""
		}
		byPod := bad(&p.Spec.SecurityContext)
		p.containers(func(c *container) {
			if bad(&c.SecurityContext) {
				containers = append(containers, c.Name)
			}
		})
		if !byPod && len(containers) == 0 {
			return "", ""
		}
		var what []string
		if types = sorted(types); len(types) > 0 {
			what = append(what, plural("type", len(types))+" "+quoted(types))
		}
		if user {
			what = append(what, "user may not be set")
		}
		if role {
			what = append(what, "role may not be set")
		}
		return "seLinuxOptions", fmt.Sprintf("%s set forbidden securityContext.seLinuxOptions: %s", setters(byPod, containers), strings.Join(what, "; "))
	}
}

// safe are the sysctls that a pod may set, by the minor version since when.
var safe = map[int][]string{
	0:  {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"},
	27: {"net.ipv4.ip_local_reserved_ports"},
	29: {"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"},
	32: {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"},
	37: {"net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat"},
}

// sysctls allows those of a minor version.
func sysctls(minor int) func(*pod) (string, string) {
	var may []string
	for since, names := range safe {
		if since <= minor {
			may = append(may, names...)
		}
	}
	return func(p *pod) (string, string) {
		var bad []string
		for _, s := range p.Spec.SecurityContext.Sysctls {
			if !slices.Contains(may, s.Name) {
				bad = append(bad, s.Name)
			}
		}
		if len(bad) == 0 {
			return "", ""
		}
		return "forbidden sysctls", strings.Join(bad, ", ")
	}
}

func hostProcess(p *pod) (string, string) {
	var containers []string
	p.containers(func(c *container) {
		if c.SecurityContext.WindowsOptions.HostProcess {
			containers = append(containers, c.Name)
		}
	})
	if who := setters(p.Spec.SecurityContext.WindowsOptions.HostProcess, containers); who != "" {
		return "hostProcess", who + " must not set securityContext.windowsOptions.hostProcess=true"
	}
	return "", ""
}
