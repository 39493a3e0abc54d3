package nodelifecycle

import (
	"encoding/json"
	"fmt"
	"time"
)

// Config is the plugin's configuration.
type Config struct {
	// GraceSeconds is how long a node may be silent before it counts as
	// unreachable; 0 is 40, upstream's default.
	GraceSeconds float64 `json:"graceSeconds"`
	// StartupGraceSeconds is that for a node which has not reported yet; 0 is 60,
	// or GraceSeconds where that is longer.
	StartupGraceSeconds float64 `json:"startupGraceSeconds"`
	// The others are flags of upstream's controller manager with its defaults,
	// which an absent field takes. UnhealthyZoneThreshold is the part of a
	// zone's nodes that must be not ready for the zone to count as disrupted
	// (0.55); LargeClusterSizeThreshold the number of nodes above which a
	// disrupted zone is still emptied, at the secondary rate (50); the rates are
	// nodes a second and zone (0.1 and 0.01), 0 empties none.
	UnhealthyZoneThreshold    *float64 `json:"unhealthyZoneThreshold"`
	LargeClusterSizeThreshold *int     `json:"largeClusterSizeThreshold"`
	NodeEvictionRate          *float64 `json:"nodeEvictionRate"`
	SecondaryNodeEvictionRate *float64 `json:"secondaryNodeEvictionRate"`
}

func parseConfig(raw []byte) (g graces, r disruptionRules, err error) {
	c := Config{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &c); err != nil {
			return g, r, fmt.Errorf("config: %w", err)
		}
	}
	if c.GraceSeconds == 0 {
		c.GraceSeconds = 40
	}
	if c.StartupGraceSeconds == 0 {
		c.StartupGraceSeconds = max(60, c.GraceSeconds)
	}
	r = disruptionRules{
		unhealthy: or(c.UnhealthyZoneThreshold, 0.55), large: or(c.LargeClusterSizeThreshold, 50),
		rate: or(c.NodeEvictionRate, 0.1), secondary: or(c.SecondaryNodeEvictionRate, 0.01),
	}
	switch {
	case c.GraceSeconds < 0:
		err = fmt.Errorf("config.graceSeconds: %v is negative", c.GraceSeconds)
	case c.StartupGraceSeconds < 0:
		err = fmt.Errorf("config.startupGraceSeconds: %v is negative", c.StartupGraceSeconds)
	case !(r.unhealthy >= 0 && r.unhealthy <= 1):
		err = fmt.Errorf("config.unhealthyZoneThreshold: %v is not between 0 and 1", r.unhealthy)
	case !(r.rate >= 0 && r.secondary >= 0):
		err = fmt.Errorf("config.nodeEvictionRate, config.secondaryNodeEvictionRate: %v, %v: want 0 or more", r.rate, r.secondary)
	}
	return graces{seconds(c.GraceSeconds), seconds(c.StartupGraceSeconds)}, r, err
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// graces are how long a node may be silent: one that has reported, and one that has not.
type graces struct{ grace, startup time.Duration }

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
