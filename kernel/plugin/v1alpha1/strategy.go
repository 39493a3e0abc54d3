package v1alpha1

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

var pluginStrategy = resource.Strategy{
	PrepareForCreate: func(_ context.Context, obj runtime.Object) {
		p := obj.(*Plugin)
		p.Status, p.Generation = PluginStatus{Phase: Pending}, 1
		setDefaults(p)
	},
	PrepareForUpdate: func(_ context.Context, obj, old runtime.Object) {
		p, was := obj.(*Plugin), old.(*Plugin)
		p.Status = *was.Status.deepCopy()
		setDefaults(p)
		p.Generation = was.Generation
		if !apiequality.Semantic.DeepEqual(p.Spec, was.Spec) {
			p.Generation++
		}
	},
	Validate: func(_ context.Context, obj runtime.Object) field.ErrorList {
		p := obj.(*Plugin)
		return append(ValidatePlugin(p), validateOrder(p.Spec.Order)...)
	},
	ValidateUpdate: func(_ context.Context, obj, old runtime.Object) field.ErrorList {
		p := obj.(*Plugin)
		errs := ValidatePlugin(p)
		if p.Spec.Order != old.(*Plugin).Spec.Order { // one that was stored before there was a range stays
			errs = append(errs, validateOrder(p.Spec.Order)...)
		}
		return errs
	},
	AllowUnconditionalUpdate: true,
}

func (s *PluginStatus) deepCopy() *PluginStatus {
	out := new(PluginStatus)
	s.DeepCopyInto(out)
	return out
}

// keepSpec lets the status subresource change the status only.
func keepSpec(_ context.Context, obj, old runtime.Object) {
	p, was := obj.(*Plugin), old.(*Plugin)
	was.Spec.DeepCopyInto(&p.Spec)
	p.Generation = was.Generation
}

func setDefaults(p *Plugin) {
	if p.Spec.Host == "" {
		p.Spec.Host = HostWASM
	}
	if p.Spec.FailurePolicy == "" {
		p.Spec.FailurePolicy = Fail
	}
	if p.Spec.Mode == "" {
		p.Spec.Mode = Enforce
	}
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// The bounds of a plugin's limits.
const (
	minMemory, maxMemory   = 8 << 20, 4 << 30
	minTimeout, maxTimeout = time.Millisecond, 10 * time.Minute
	maxWeight              = 1000
	maxWrites              = 100_000
)

// ValidatePlugin checks a plugin whose defaults are set.
func ValidatePlugin(p *Plugin) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("spec")
	for _, msg := range validation.IsDNS1123Label(p.Name) {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), p.Name, msg))
	}
	s := &p.Spec
	errs = append(errs, oneOf(at.Child("host"), s.Host, HostWASM, HostProcess, HostNative)...)
	errs = append(errs, oneOf(at.Child("failurePolicy"), s.FailurePolicy, Fail, Ignore)...)
	errs = append(errs, oneOf(at.Child("mode"), s.Mode, Enforce, Monitor, Shadow)...)
	switch {
	case s.Digest == "" && s.Host != HostNative:
		errs = append(errs, field.Required(at.Child("digest"), "the host "+string(s.Host)+" needs a module: upload it with `pintle plugin load`"))
	case s.Digest != "" && !digestForm.MatchString(s.Digest):
		errs = append(errs, field.Invalid(at.Child("digest"), s.Digest, "must be sha256: and 64 hexadecimal digits"))
	}
	if s.Config != nil && len(s.Config.Raw) > 0 && !json.Valid(s.Config.Raw) {
		errs = append(errs, field.Invalid(at.Child("config"), string(s.Config.Raw), "must be JSON"))
	}
	if w := s.Weight; w != nil && (*w < 0 || *w > maxWeight) {
		errs = append(errs, field.Invalid(at.Child("weight"), *w, fmt.Sprintf("must be between 0 and %d", maxWeight)))
	}
	for i, m := range s.Members {
		if m.Weight != nil && (*m.Weight < 0 || *m.Weight > maxWeight) {
			errs = append(errs, field.Invalid(at.Child("members").Index(i).Child("weight"), *m.Weight, fmt.Sprintf("must be between 0 and %d", maxWeight)))
		}
	}
	errs = append(errs, validateLimits(at.Child("limits"), s.Limits)...)
	return append(errs, validateMatch(at.Child("match"), s.Match)...)
}

func validateOrder(order int32) field.ErrorList {
	if err := admission.CheckPolicyOrder(order); err != nil {
		return field.ErrorList{field.Invalid(field.NewPath("spec", "order"), order, err.Error())}
	}
	return nil
}

func oneOf[T ~string](at *field.Path, got T, known ...T) field.ErrorList {
	if slices.Contains(known, got) {
		return nil
	}
	return field.ErrorList{field.NotSupported(at, got, known)}
}

func validateLimits(at *field.Path, l Limits) field.ErrorList {
	var errs field.ErrorList
	if m := l.Memory; m != nil && (m.Value() < minMemory || m.Value() > maxMemory) {
		errs = append(errs, field.Invalid(at.Child("memory"), m.String(), "must be between 8Mi and 4Gi"))
	}
	if t := l.Timeout; t != nil && (t.Duration < minTimeout || t.Duration > maxTimeout) {
		errs = append(errs, field.Invalid(at.Child("timeout"), t.Duration.String(), "must be between 1ms and 10m"))
	}
	if w := l.WritesPerSecond; w < 0 || w > maxWrites {
		errs = append(errs, field.Invalid(at.Child("writesPerSecond"), w, fmt.Sprintf("must be between 1 and %d, or left out", maxWrites)))
	}
	return errs
}

func validateMatch(at *field.Path, rules []MatchRule) field.ErrorList {
	var errs field.ErrorList
	for i, m := range rules {
		for j, op := range m.Operations {
			errs = append(errs, oneOf(at.Index(i).Child("operations").Index(j), op, "CREATE", "UPDATE", "DELETE", "CONNECT")...)
		}
		for j, r := range m.Resources {
			if _, err := ParsePattern(r); err != nil {
				errs = append(errs, field.Invalid(at.Index(i).Child("resources").Index(j), r, `must be written like "v1/pods", "apps/v1/deployments" or "*"`))
			}
		}
		for j, path := range m.Present {
			if _, err := record.ParsePath(path); err != nil {
				errs = append(errs, field.Invalid(at.Index(i).Child("present").Index(j), path, err.Error()))
			}
		}
	}
	return errs
}

// MaxPiece is the largest piece of a module, in bytes, MaxPieces how many there
// may be of one.
const (
	MaxPiece  = 1 << 20
	MaxPieces = 128
)

var moduleStrategy = resource.Strategy{
	Validate: func(_ context.Context, obj runtime.Object) field.ErrorList {
		return validateModule(obj.(*PluginModule))
	},
	ValidateUpdate: func(_ context.Context, obj, old runtime.Object) field.ErrorList {
		m, was := obj.(*PluginModule), old.(*PluginModule)
		if m.Digest != was.Digest || m.Piece != was.Piece || m.Pieces != was.Pieces || string(m.Data) != string(was.Data) {
			return field.ErrorList{field.Forbidden(field.NewPath("data"), "a module is immutable: its name is its digest")}
		}
		return nil
	},
}

func validateModule(m *PluginModule) field.ErrorList {
	var errs field.ErrorList
	if !digestForm.MatchString(m.Digest) {
		errs = append(errs, field.Invalid(field.NewPath("digest"), m.Digest, "must be sha256: and 64 hexadecimal digits"))
	} else if want := PieceName(m.Digest, int(m.Piece)); m.Name != want {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), m.Name, "must be "+want))
	}
	if m.Pieces > MaxPieces {
		errs = append(errs, field.Invalid(field.NewPath("pieces"), m.Pieces, fmt.Sprintf("must be at most %d", MaxPieces)))
	}
	if m.Piece < 0 || m.Pieces < 1 || m.Piece >= m.Pieces {
		errs = append(errs, field.Invalid(field.NewPath("piece"), m.Piece, fmt.Sprintf("there are %d pieces", m.Pieces)))
	}
	if len(m.Data) == 0 || len(m.Data) > MaxPiece {
		errs = append(errs, field.Invalid(field.NewPath("data"), len(m.Data), fmt.Sprintf("must be between 1 and %d bytes", MaxPiece)))
	}
	return errs
}

// PieceName is the name of a module's piece.
func PieceName(digest string, piece int) string {
	return fmt.Sprintf("%s-%d", strings.TrimPrefix(digest, "sha256:"), piece)
}

// DigestOf is the digest of a module.
func DigestOf(module []byte) string {
	sum := sha256.Sum256(module)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// DigestFrom is the digest of a module that is read from r.
func DigestFrom(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
