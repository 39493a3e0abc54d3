package schedule

import "github.com/pintle-io/pintle/sdk/wire/columns"

// NodeInfo describes a node, for tests of plugins.
type NodeInfo struct {
	Name          string
	Labels        map[string]string
	Taints        []columns.Taint
	Allocatable   columns.Resources
	Pods          int64 // allocatable number of pods
	Images        []columns.Image
	Unschedulable bool
	Ready         bool
	// Used is what each of the node's pods uses.
	Used []columns.Usage
}

func (n *NodeInfo) node() columns.Node {
	return columns.Node{Name: n.Name, Labels: n.Labels, Taints: n.Taints, Allocatable: n.Allocatable, Pods: n.Pods,
		Images: n.Images, Unschedulable: n.Unschedulable, Ready: n.Ready}
}

// NewTable is the table that a kernel makes of nodes.
func NewTable(nodes ...NodeInfo) *columns.Table {
	t := columns.NewTable()
	for _, n := range nodes {
		row := t.Put(n.node())
		for i := range n.Used {
			t.Use(row, &n.Used[i], 1)
		}
	}
	return t
}
