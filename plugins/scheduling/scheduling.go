// Package scheduling is the set of filters and scores that a Pintle cluster
// starts with: one plugin, "scheduling", whose members are the packages below
// this one. They run in the order in which they are listed; the first filter
// that rejects a node gives the reason.
package scheduling

import (
	"encoding/json"
	"fmt"

	"github.com/pintle-io/pintle/plugins/scheduling/balancedallocation"
	"github.com/pintle-io/pintle/plugins/scheduling/imagelocality"
	"github.com/pintle-io/pintle/plugins/scheduling/nodeaffinity"
	"github.com/pintle-io/pintle/plugins/scheduling/nodename"
	"github.com/pintle-io/pintle/plugins/scheduling/nodeports"
	"github.com/pintle-io/pintle/plugins/scheduling/noderesourcesfit"
	"github.com/pintle-io/pintle/plugins/scheduling/nodeunschedulable"
	"github.com/pintle-io/pintle/plugins/scheduling/tainttoleration"
	"github.com/pintle-io/pintle/plugins/scheduling/volumebinding"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

// Name of the plugin.
const Name = "scheduling"

func init() {
	sdk.Register(sdk.Plugin{Name: Name, New: func(config []byte) (sdk.Points, error) { return New(config) }})
}

var members = []struct {
	name   string
	new    func([]byte) (*scheduling.Points, error)
	weight int64
}{
	{nodeunschedulable.Name, nodeunschedulable.New, 0},
	{nodename.Name, nodename.New, 0},
	{tainttoleration.Name, tainttoleration.New, 3},
	{nodeaffinity.Name, nodeaffinity.New, 2},
	{nodeports.Name, nodeports.New, 0},
	{noderesourcesfit.Name, noderesourcesfit.New, 1},
	{volumebinding.Name, volumebinding.New, 0},
	{balancedallocation.Name, balancedallocation.New, 1},
	{imagelocality.Name, imagelocality.New, 1},
}

// New makes an instance of every member. config is an object with the config
// of members by name; members that it does not name take their defaults.
func New(config []byte) (*scheduling.Points, error) {
	configs := map[string]json.RawMessage{}
	if len(config) > 0 {
		if err := json.Unmarshal(config, &configs); err != nil {
			return nil, fmt.Errorf("config of %s: %w", Name, err)
		}
	}
	set := &scheduling.Points{}
	for _, m := range members {
		p, err := m.new(configs[m.name])
		if err != nil {
			return nil, err
		}
		delete(configs, m.name)
		set.Members = append(set.Members, scheduling.Member{Name: m.name, Points: p, Weight: m.weight})
	}
	for name := range configs {
		return nil, fmt.Errorf("config of %s: there is no member %q", Name, name)
	}
	return set, nil
}
