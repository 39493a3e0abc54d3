package cni

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// errNoFilter says that nothing here can masquerade.
var errNoFilter = errors.New("neither nft nor iptables is installed: pods cannot reach the outside")

// filter sets the node's packet filter up for pods of this range: masquerading
// as it is configured now, whatever was before, and the way through a firewall
// that refuses to forward by default. It is idempotent.
func (n *Network) filter(ctx context.Context, pods netip.Prefix) error {
	set := func() error { return deleteNAT(ctx, n.cfg.Bridge) }
	if n.cfg.Masquerade {
		set = func() error { return masquerade(ctx, n.cfg.Bridge, pods, n.cfg.PodRange) }
	}
	if err := set(); err != nil {
		return err
	}
	return allowForward(ctx, n.cfg.Bridge)
}

// masquerade gives packets from the node's pods to anything outside the pods'
// range the node's address. It is idempotent.
// RATIONALE.md: "Why do nodes masquerade by default?"
func masquerade(ctx context.Context, bridgeName string, pods, all netip.Prefix) error {
	if !all.IsValid() {
		all = pods
	}
	if _, err := exec.LookPath("nft"); err == nil {
		if err := run(ctx, nftScript(bridgeName, pods, all), "nft", "-f", "-"); err != nil {
			return fmt.Errorf("masquerade: %w", err)
		}
	} else if _, err := exec.LookPath("iptables"); err == nil {
		rule := iptablesRule(bridgeName, pods, all)
		if err := ensureRule(ctx, rule); err != nil {
			return fmt.Errorf("masquerade: %w", err)
		}
	} else {
		return errNoFilter
	}
	return nil
}

// nftTable is a table of our own, for one bridge.
func nftTable(bridgeName string) string { return "pintle-" + bridgeName }

// nftScript is one transaction: the table as it should be.
func nftScript(bridgeName string, pods, all netip.Prefix) string {
	t := nftTable(bridgeName)
	return fmt.Sprintf(`table ip %[1]s
delete table ip %[1]s
table ip %[1]s {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr %[2]s ip daddr != %[3]s oifname != %[4]q masquerade
	}
}
`, t, pods, all, bridgeName)
}

// comment marks our rules among those of others.
func comment(bridgeName string) string { return "pintle " + bridgeName }

func iptablesRule(bridgeName string, pods, all netip.Prefix) []string {
	return []string{"-t", "nat", "POSTROUTING", "-s", pods.String(), "!", "-d", all.String(), "!", "-o", bridgeName, "-m", "comment", "--comment", comment(bridgeName), "-j", "MASQUERADE"}
}

// forwardRules let pods' packets pass.
func forwardRules(bridgeName string) [][]string {
	rule := func(way string) []string {
		return []string{"-t", "filter", "FORWARD", way, bridgeName, "-m", "comment", "--comment", comment(bridgeName), "-j", "ACCEPT"}
	}
	return [][]string{rule("-i"), rule("-o")}
}

// allowForward is needed where something (Docker, a firewall) made iptables drop
// what is forwarded: an accept in a table of ours would not overrule that.
func allowForward(ctx context.Context, bridgeName string) error {
	if _, err := exec.LookPath("iptables"); err != nil {
		return nil
	}
	out, err := exec.CommandContext(ctx, "iptables", "-w", "-S", "FORWARD").Output()
	if err != nil || !strings.HasPrefix(string(out), "-P FORWARD DROP") {
		return nil // a kernel without it drops nothing by it
	}
	for _, r := range forwardRules(bridgeName) {
		if err := ensureRule(ctx, r); err != nil {
			return fmt.Errorf("allow forwarding: %w", err)
		}
	}
	return nil
}

// withVerb puts the verb in its place: -t TABLE VERB CHAIN ….
func withVerb(verb string, r []string) []string {
	return append([]string{"-w", r[0], r[1], verb}, r[2:]...)
}

func ensureRule(ctx context.Context, r []string) error {
	if run(ctx, "", "iptables", withVerb("-C", r)...) == nil {
		return nil
	}
	return run(ctx, "", "iptables", withVerb("-I", r)...)
}

// unfilter undoes filter, whatever range it was for.
func unfilter(ctx context.Context, bridgeName string) error {
	return errors.Join(deleteNAT(ctx, bridgeName), deleteRules(ctx, "filter", "FORWARD", comment(bridgeName)))
}

func deleteNAT(ctx context.Context, bridgeName string) error {
	var errs []error
	if _, err := exec.LookPath("nft"); err == nil {
		t := nftTable(bridgeName)
		errs = append(errs, run(ctx, fmt.Sprintf("table ip %[1]s\ndelete table ip %[1]s\n", t), "nft", "-f", "-"))
	}
	return errors.Join(append(errs, deleteRules(ctx, "nat", "POSTROUTING", comment(bridgeName)))...)
}

// deleteRules deletes the rules of a chain of iptables that have this comment.
func deleteRules(ctx context.Context, table, chain, comment string) error {
	out, err := exec.CommandContext(ctx, "iptables", "-w", "-t", table, "-S", chain).Output()
	if err != nil {
		return nil // no iptables, or no such table in this kernel
	}
	var errs []error
	for _, line := range strings.Split(string(out), "\n") {
		rule, ok := strings.CutPrefix(line, "-A "+chain+" ")
		if !ok || !strings.Contains(line, `"`+comment+`"`) {
			continue
		}
		args := append([]string{"-w", "-t", table, "-D", chain}, words(rule)...)
		errs = append(errs, run(ctx, "", "iptables", args...))
	}
	return errors.Join(errs...)
}

// words splits a rule as iptables prints it: by spaces, but not inside quotes.
func words(s string) []string {
	var out []string
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

func run(ctx context.Context, stdin, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
