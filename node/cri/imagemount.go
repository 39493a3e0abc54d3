package cri

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// ImageMounts is how far a runtime can mount images into containers.
type ImageMounts struct {
	// Runtime is its name and version.
	Runtime string
	// Whole images, and parts of them.
	Whole, SubPath bool
}

// imageMountsSince are the first versions that do so. The protocol has no
// feature for it, and a runtime that does not know the field of a request
// ignores it: the container would run without the volume, or with all of the
// image instead of a part.
var imageMountsSince = map[string]struct{ whole, subPath version }{
	"containerd": {version{2, 1}, version{2, 2}},
	"cri-o":      {version{1, 31}, version{1, 33}},
}

// imageMounts says what a runtime of this name and version can do. One that is
// not known is believed to know its trade.
func imageMounts(name, ver string) ImageMounts {
	out := ImageMounts{Runtime: name + " " + ver, Whole: true, SubPath: true}
	since, known := imageMountsSince[strings.ToLower(name)]
	if !known {
		return out
	}
	v, ok := parseVersion(ver)
	out.Whole = ok && v.compare(since.whole) >= 0
	out.SubPath = ok && v.compare(since.subPath) >= 0
	return out
}

// Check returns an error when an image, or the part of it that subPath names,
// cannot be mounted.
func (m ImageMounts) Check(subPath string) error {
	switch {
	case !m.Whole:
		return fmt.Errorf("image volumes are not supported by the container runtime, %s: containerd 2.1 or CRI-O 1.31 is needed", m.Runtime)
	case subPath != "" && !m.SubPath:
		return fmt.Errorf("subPath %q of an image volume is not supported by the container runtime, %s: containerd 2.2 or CRI-O 1.33 is needed", subPath, m.Runtime)
	}
	return nil
}

type version struct{ major, minor int }

func (v version) compare(o version) int {
	return cmp.Or(cmp.Compare(v.major, o.major), cmp.Compare(v.minor, o.minor))
}

// parseVersion reads the front of "v2.1.0-rc.1", "1.6.20~ds1".
func parseVersion(s string) (version, bool) {
	major, rest, _ := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	minor := rest
	if i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		minor = rest[:i]
	}
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return version{a, b}, errA == nil && errB == nil
}
