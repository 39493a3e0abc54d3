package cri

import "testing"

func TestImageMounts(t *testing.T) {
	for _, tc := range []struct {
		name, version  string
		whole, subPath bool
	}{
		{"containerd", "1.6.20~ds1", false, false},
		{"containerd", "v1.7.27", false, false},
		{"containerd", "2.0.4", false, false},
		{"containerd", "v2.1.0-rc.1", true, false},
		{"containerd", "v2.2.0", true, true},
		{"containerd", "2.10.0", true, true},
		{"containerd", "3.0.0", true, true},
		{"containerd", "unknown", false, false},
		{"cri-o", "1.30.9", false, false},
		{"cri-o", "1.31.0", true, false},
		{"cri-o", "1.33.1", true, true},
		{"other", "0.1", true, true},
	} {
		m := imageMounts(tc.name, tc.version)
		if m.Whole != tc.whole || m.SubPath != tc.subPath {
			t.Errorf("%s %s: %+v", tc.name, tc.version, m)
		}
		if err := m.Check(""); (err == nil) != tc.whole {
			t.Errorf("%s %s, whole: %v", tc.name, tc.version, err)
		}
		if err := m.Check("a"); (err == nil) != tc.subPath {
			t.Errorf("%s %s, part: %v", tc.name, tc.version, err)
		}
	}
}
