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
	// Used is what each of the node's pods uses; it stands for pods of which
	// nothing else matters.
	Used []columns.Usage
	// Assigned are pods on the node that are more than what they use.
	Assigned []columns.Pod
}

func (n *NodeInfo) node() columns.Node {
	return columns.Node{Name: n.Name, Labels: n.Labels, Taints: n.Taints, Allocatable: n.Allocatable, Pods: n.Pods,
		Images: n.Images, Unschedulable: n.Unschedulable, Ready: n.Ready}
}

// NewTable is the table that a kernel makes of nodes and the pods on them.
func NewTable(nodes ...NodeInfo) *columns.Table {
	t := columns.NewTable()
	t.Pods().Keep(func(yield func(string, *columns.Pod)) {
		for i := range nodes {
			for k := range nodes[i].Assigned {
				yield(nodes[i].Name, &nodes[i].Assigned[k])
			}
		}
	})
	for i := range nodes {
		n := &nodes[i]
		row := t.Put(n.node())
		for k := range n.Used {
			t.Use(row, &n.Used[k], 1)
		}
		for k := range n.Assigned {
			t.Assign(row, &n.Assigned[k])
		}
	}
	return t
}
