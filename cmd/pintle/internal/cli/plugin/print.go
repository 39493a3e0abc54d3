package plugin

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// printPlugins is the list of plugins, one a line.
func printPlugins(out io.Writer, list []v1alpha1.Plugin, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tHOST\tPHASE\tSERVES\tCALLS\tERRORS\tFAULTS\tP50\tP99\tWHAT WENT WRONG LAST")
	for i := range list {
		p := &list[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", p.Name, p.Spec.Host, phaseOf(p), strings.Join(p.Status.Points, ","),
			p.Status.Calls, p.Status.Errors, p.Status.Faults, p.Status.P50.Duration, p.Status.P99.Duration, shorten(trouble(p, now), 80))
	}
	return w.Flush()
}

// printPlugin is all about one plugin.
func printPlugin(out io.Writer, p *v1alpha1.Plugin, now time.Time) error {
	s := &p.Status
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	rows := [][2]string{
		{"Name", p.Name}, {"Host", string(p.Spec.Host)}, {"Phase", string(s.Phase)}, {"Mode", string(p.Spec.Mode)}, {"Failure policy", string(p.Spec.FailurePolicy)}, {"Message", firstLine(s.Message)},
		{"Serves", strings.Join(s.Points, ", ")}, {"Weight", weight(p)}, {"Order", order(p)}, {"Allowed", allowed(p.Spec.Permissions)}, {"Digest", s.Digest}, {"ABI", s.ABI}, {"Version", s.Version},
		{"Calls", fmt.Sprintf("%d, of which %d answered with an error and %d were broken off", s.Calls, s.Errors, s.Faults)},
		{"Time", fmt.Sprintf("p50 %s, p99 %s", s.P50.Duration, s.P99.Duration)},
		{"Instances", instances(s)},
		{"Last error", lastError(s.LastError, now)},
	}
	if s.Errors+s.Faults > 0 || s.Phase != v1alpha1.Ready {
		rows = append(rows, [2]string{"Events", "pintle kubectl events --for plugin/" + p.Name})
	}
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(w, "%s:\t%s\n", row[0], row[1])
		}
	}
	return w.Flush()
}

// weight is that of a plugin's score; its members' where they have their own.
func weight(p *v1alpha1.Plugin) string {
	if !slices.Contains(p.Status.Points, "Score") && !slices.Contains(p.Status.Points, "ScoreAll") {
		return ""
	}
	var list []string
	if p.Spec.Weight != nil {
		list = append(list, fmt.Sprint(*p.Spec.Weight))
	}
	for _, m := range p.Spec.Members {
		if m.Weight != nil {
			list = append(list, fmt.Sprintf("%s %d", m.Name, *m.Weight))
		}
	}
	if len(list) == 0 {
		return "its own (1 unless it says otherwise)"
	}
	return strings.Join(list, ", ")
}

// allowed writes permissions as --allow takes them.
func allowed(rules []rbacv1.PolicyRule) string {
	var list []string
	for _, r := range rules {
		var resources []string
		for _, resource := range r.Resources {
			for _, group := range r.APIGroups {
				resources = append(resources, strings.TrimSuffix(resource+"."+group, "."))
			}
		}
		list = append(list, strings.Join(r.Verbs, ",")+":"+strings.Join(resources, ","))
	}
	return strings.Join(list, "  ")
}

// order is that of a policy.
func order(p *v1alpha1.Plugin) string {
	if !slices.Contains(p.Status.Points, "Mutate") && !slices.Contains(p.Status.Points, "Validate") {
		return ""
	}
	return fmt.Sprint(p.Spec.Order)
}

// phaseOf is the phase, with the mode when that is not the usual one.
func phaseOf(p *v1alpha1.Plugin) string {
	if p.Spec.Mode == "" || p.Spec.Mode == v1alpha1.Enforce {
		return string(p.Status.Phase)
	}
	return fmt.Sprintf("%s (%s)", p.Status.Phase, p.Spec.Mode)
}

func instances(s *v1alpha1.PluginStatus) string {
	if s.Memory == nil {
		return fmt.Sprint(s.Instances)
	}
	return fmt.Sprintf("%d, %s in all", s.Instances, s.Memory)
}

// trouble is why a plugin is not as it should be, or else what went wrong last.
func trouble(p *v1alpha1.Plugin, now time.Time) string {
	if p.Status.Phase != v1alpha1.Ready && p.Status.Message != "" {
		return firstLine(p.Status.Message)
	}
	return lastError(p.Status.LastError, now)
}

func lastError(e *v1alpha1.PluginError, now time.Time) string {
	if e == nil {
		return ""
	}
	what := "an error in"
	if e.Fault {
		what = "broken off in"
	}
	return fmt.Sprintf("%s %q, %s ago: %s", what, e.Call, duration.HumanDuration(max(now.Sub(e.Time.Time), 0)), firstLine(e.Message))
}

// firstLine leaves a guest's stack to `kubectl get plugin -o yaml`.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// shorten cuts a text to n characters.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
