package lb

// Layout is the version of what the maps hold.
const Layout = layout

// TakeOverPartly runs the first n steps of a takeover and stops, as if killed.
// It returns how many there are.
func (b *Balancer) TakeOverPartly(n int) (int, error) {
	t := takeover{old: b.old, maps: &b.objects.LBMaps, sockets: b.Sockets, packets: b.Packets, links: b.links}
	steps := t.steps()
	for _, step := range steps[:min(n, len(steps))] {
		if err := step(); err != nil {
			return 0, err
		}
	}
	return len(steps), nil
}

// Fresh reports whether Open found no service in the kernel.
func (b *Balancer) Fresh() bool { return b.Sockets.predecessor != "" }
