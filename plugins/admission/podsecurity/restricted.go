package podsecurity

import (
	"fmt"
	"slices"
	"strings"
)

func escalation(p *pod) (string, string) {
	var containers []string
	p.containers(func(c *container) {
		if may := c.SecurityContext.AllowPrivilegeEscalation; may == nil || *may {
			containers = append(containers, c.Name)
		}
	})
	if len(containers) == 0 {
		return "", ""
	}
	return "allowPrivilegeEscalation != false", setters(false, containers) + " must set securityContext.allowPrivilegeEscalation=false"
}

func capabilitiesRestricted(p *pod) (string, string) {
	var keeping, details []string
	p.containers(func(c *container) {
		if x := c.SecurityContext.Capabilities; x == nil || !slices.Contains(x.Drop, "ALL") {
			keeping = append(keeping, c.Name)
		}
	})
	if len(keeping) > 0 {
		details = append(details, setters(false, keeping)+` must set securityContext.capabilities.drop=["ALL"]`)
	}
	if containers, added := adding(p, []string{"NET_BIND_SERVICE"}); len(containers) > 0 {
		details = append(details, forbiddenCapabilities(containers, added))
	}
	if len(details) == 0 {
		return "", ""
	}
	return "unrestricted capabilities", strings.Join(details, "; ")
}

// volumes that pods may have; others are told of by their type.
var volumes = []string{"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"}

func volumeTypes(p *pod) (string, string) {
	var names, types []string
	for _, v := range p.Spec.Volumes {
		if kind := typeOf(v); kind != "" {
			names, types = append(names, nameOf(v)), append(types, kind)
		}
	}
	if len(names) == 0 {
		return "", ""
	}
	types = sorted(types)
	return "restricted volume types", fmt.Sprintf("%s %s %s %s %s", plural("volume", len(names)), quoted(names), uses(len(names)), plural("restricted volume type", len(types)), quoted(types))
}

// typeOf is the type of a volume; "" when it is one that pods may have.
func typeOf(volume map[string]any) string {
	kind := "unknown"
	for key, v := range volume {
		switch {
		case key == "name" || v == nil:
		case slices.Contains(volumes, key):
			return ""
		case kind == "unknown" || key < kind:
			kind = key
		}
	}
	return kind
}

func nonRoot(p *pod) (string, string) {
	byPod := p.Spec.SecurityContext.RunAsNonRoot
	badPod := byPod != nil && !*byPod
	var bad, open []string
	p.containers(func(c *container) {
		switch own := c.SecurityContext.RunAsNonRoot; {
		case own == nil && (byPod == nil || badPod):
			open = append(open, c.Name)
		case own != nil && !*own:
			bad = append(bad, c.Name)
		}
	})
	if who := setters(badPod, bad); who != "" {
		return "runAsNonRoot != true", who + " must not set securityContext.runAsNonRoot=false"
	}
	if len(open) > 0 {
		return "runAsNonRoot != true", fmt.Sprintf("pod or %s must set securityContext.runAsNonRoot=true", setters(false, open))
	}
	return "", ""
}

func notUserZero(p *pod) (string, string) {
	zero := func(c *securityContext) bool { return c.RunAsUser != nil && *c.RunAsUser == 0 }
	var containers []string
	p.containers(func(c *container) {
		if zero(&c.SecurityContext) {
			containers = append(containers, c.Name)
		}
	})
	if who := setters(zero(&p.Spec.SecurityContext), containers); who != "" {
		return "runAsUser=0", who + " must not set runAsUser=0"
	}
	return "", ""
}
