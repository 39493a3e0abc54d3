package runtimeclass

import (
	"reflect"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// merge joins two lists and leaves out what another one covers; of equal ones
// the first stays.
func merge(first, second []corev1.Toleration) []corev1.Toleration {
	all := append(first[:len(first):len(first)], second...)
	var out []corev1.Toleration
	for i, t := range all {
		if !covered(t, out, true) && !covered(t, all[i+1:], false) {
			out = append(out, t)
		}
	}
	return out
}

// covered tells whether one of the list tolerates all that t does; an equal one
// counts if equals is set.
func covered(t corev1.Toleration, list []corev1.Toleration, equals bool) bool {
	for _, other := range list {
		if same := reflect.DeepEqual(t, other); same && equals || !same && covers(other, t) {
			return true
		}
	}
	return false
}

// covers tells whether all that narrow tolerates, wide does too.
func covers(wide, narrow corev1.Toleration) bool {
	any := wide.Key == "" && wide.Operator == corev1.TolerationOpExists
	switch {
	case narrow.Key != wide.Key && !any:
		return false
	case wide.Effect != "" && narrow.Effect != wide.Effect:
		return false
	case wide.Effect == corev1.TaintEffectNoExecute && wide.TolerationSeconds != nil &&
		(narrow.TolerationSeconds == nil || *narrow.TolerationSeconds > *wide.TolerationSeconds):
		return false
	}
	switch wide.Operator {
	case corev1.TolerationOpExists:
		return true
	case corev1.TolerationOpEqual, "":
		return narrow.Operator == corev1.TolerationOpEqual && narrow.Value == wide.Value
	}
	return false
}
