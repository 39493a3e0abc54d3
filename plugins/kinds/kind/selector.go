package kind

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
)

// InvalidSelector says whether a selector has what validation refuses today:
// an update of an object that is stored with one may keep it.
func InvalidSelector(s metav1.LabelSelector) bool {
	return len(metav1validation.ValidateLabelSelector(&s, metav1validation.LabelSelectorValidationOptions{}, nil)) > 0
}
