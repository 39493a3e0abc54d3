package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/mount"
)

// Collector removes unused images when the disk that holds them fills up.
type Collector struct {
	Puller *Puller
	// High and Low are percentages of the disk: above High, images go until
	// Low is reached. 0 means 85 and 80.
	High, Low int
	// MinAge keeps images that were used or pulled more recently; 0 is 2 min.
	MinAge time.Duration
	// Spare lists references that are never removed, as the sandbox image:
	// older runtimes do not pin it.
	Spare []string
	// InUse lists the image ids and references of all containers.
	InUse func(ctx context.Context) (map[string]bool, error)
	// Disk reports the state of the file system at path; nil asks the kernel.
	Disk func(path string) (free, total uint64, err error)
}

// Interval between looks at the disk.
const Interval = time.Minute

// Run collects at intervals until ctx ends.
func (g *Collector) Run(ctx context.Context) error {
	retry := backoff.New(Interval, Interval)
	told := false // that something else fills the disk
	for {
		n, err := g.Collect(ctx)
		others := errors.Is(err, ErrNotImages)
		switch {
		case others && !told:
			g.Puller.cfg.Log.Info("image collection", "error", err)
		case err == nil || others:
			retry.Succeeded(g.Puller.cfg.Log)
		case ctx.Err() == nil:
			retry.Failed(g.Puller.cfg.Log, "image collection", err)
		}
		told = others
		if n > 0 {
			g.Puller.cfg.Log.Info("images removed", "count", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff.Jitter(Interval)):
		}
	}
}

// ErrNotImages: the disk would be too full without a single image. That is
// nothing to be woken for here: when it gets worse, the node's condition
// DiskPressure says so.
var ErrNotImages = errors.New("the disk is too full, and not with images")

// Collect looks once and returns how many images it removed.
//
// # Errors
//   - ErrNotImages
//   - any other when the disk is still too full afterwards
func (g *Collector) Collect(ctx context.Context) (int, error) {
	images, err := g.Puller.cfg.Runtime.List(ctx)
	if err != nil {
		return 0, err
	}
	inUse, err := g.InUse(ctx)
	if err != nil {
		return 0, err
	}
	g.Puller.touch(images, inUse)
	fs, err := g.Puller.cfg.Runtime.FS(ctx)
	if err != nil {
		return 0, err
	}
	disk := g.Disk
	if disk == nil {
		disk = func(p string) (uint64, uint64, error) {
			free, total, _, _, err := mount.Free(p)
			return free, total, err
		}
	}
	free, total, err := disk(fs.Mountpoint)
	if err != nil || total == 0 {
		return 0, err
	}
	high, low := orDefault(g.High, 85), orDefault(g.Low, 80)
	if int((total-free)*100/total) < high {
		return 0, nil
	}
	goal := int64(total)*int64(100-low)/100 - int64(free)
	held := int64(0)
	for _, img := range images {
		held += int64(img.Size)
	}
	n, left, err := g.remove(ctx, g.Puller.unused(images, inUse, g.spared, g.minAge()), goal)
	switch {
	case err != nil || left <= 0:
		return n, err
	case held < goal:
		return n, fmt.Errorf("%w: %d MiB more should be free on %s, all images together had %d", ErrNotImages, left>>20, fs.Mountpoint, held>>20)
	}
	return n, fmt.Errorf("the disk is too full and %d MiB more of images could not be freed", left>>20)
}

func orDefault(n, d int) int {
	if n == 0 {
		return d
	}
	return n
}

func (g *Collector) minAge() time.Duration {
	if g.MinAge == 0 {
		return 2 * time.Minute
	}
	return g.MinAge
}

func (g *Collector) spared(img *cri.Image) bool {
	return img.Pinned || slices.ContainsFunc(g.Spare, func(s string) bool {
		return s == img.ID || slices.Contains(img.Tags, s) || slices.Contains(img.Digests, s)
	})
}

// remove removes images until goal bytes are freed. It returns how many it removed
// and what is left of the goal.
func (g *Collector) remove(ctx context.Context, images []*cri.Image, goal int64) (n int, left int64, err error) {
	for _, img := range images {
		if goal <= 0 {
			break
		}
		if err := g.Puller.cfg.Runtime.Remove(ctx, img.ID); err != nil {
			return n, goal, err
		}
		n++
		goal -= int64(img.Size)
		for _, t := range slices.Concat(img.Tags, img.Digests, []string{img.ID}) {
			g.Puller.Forget(t)
		}
		g.Puller.forgetID(img.ID)
	}
	return n, goal, nil
}

// touch records which images are in use now, and when new ones were seen.
func (p *Puller) touch(images []*cri.Image, inUse map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Clock.Now()
	for _, img := range images {
		if _, known := p.used[img.ID]; !known || used(img, inUse) {
			p.used[img.ID] = now
		}
	}
}

func used(img *cri.Image, inUse map[string]bool) bool {
	has := func(s string) bool { return inUse[s] }
	return inUse[img.ID] || slices.ContainsFunc(img.Tags, has) || slices.ContainsFunc(img.Digests, has)
}

// unused lists images that may go, the longest unused first.
func (p *Puller) unused(images []*cri.Image, inUse map[string]bool, spared func(*cri.Image) bool, minAge time.Duration) []*cri.Image {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Clock.Now()
	var out []*cri.Image
	for _, img := range images {
		if !used(img, inUse) && !spared(img) && now.Sub(p.used[img.ID]) >= minAge {
			out = append(out, img)
		}
	}
	slices.SortStableFunc(out, func(a, b *cri.Image) int { return p.used[a.ID].Compare(p.used[b.ID]) })
	return out
}

// forgetID drops every name under which an image was known.
func (p *Puller) forgetID(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, id)
	for ref, img := range p.present {
		if img.ID == id {
			delete(p.present, ref)
		}
	}
}
