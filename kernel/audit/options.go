package audit

import (
	"errors"
	"fmt"
	"slices"
	"time"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/pintle-io/pintle/kernel/audit/backend"
)

// Options say what is recorded and where. Without a PolicyFile nothing is. The
// fields are upstream's flags.
type Options struct {
	PolicyFile string // --audit-policy-file
	Log        LogOptions
	Webhook    WebhookOptions
}

// LogOptions are those of the log file; without a path there is none.
type LogOptions struct {
	backend.File
	Format   string
	Version  string
	Batch    BatchOptions
	Truncate TruncateOptions
}

// WebhookOptions are those of the webhook; without a file there is none.
type WebhookOptions struct {
	ConfigFile     string // a kubeconfig
	InitialBackoff time.Duration
	Version        string
	Batch          BatchOptions
	Truncate       TruncateOptions
}

// The modes of a backend.
const (
	ModeBatch          = "batch"           // requests do not wait for it
	ModeBlocking       = "blocking"        // requests wait, and go on when it fails
	ModeBlockingStrict = "blocking-strict" // a request fails whose arrival cannot be recorded
)

// Modes are all of them.
var Modes = []string{ModeBatch, ModeBlocking, ModeBlockingStrict}

// BatchOptions say whether requests wait for a backend, and how events are gathered
// when they do not.
type BatchOptions struct {
	Mode           string
	BufferSize     int
	MaxSize        int
	MaxWait        time.Duration
	ThrottleEnable bool
	ThrottleQPS    float32
	ThrottleBurst  int
}

// TruncateOptions bound events and batches.
type TruncateOptions struct {
	Enabled      bool
	MaxBatchSize int64
	MaxEventSize int64
}

// DefaultOptions are upstream's.
func DefaultOptions() Options {
	const version = "audit.k8s.io/v1"
	truncate := TruncateOptions{MaxBatchSize: 10 << 20, MaxEventSize: 100 << 10}
	return Options{
		Log: LogOptions{
			File:   backend.File{MaxSize: 100, MaxBackups: 100, MaxAge: 366},
			Format: backend.FormatJSON, Version: version, Truncate: truncate,
			// Lines are not gathered: a file takes one as well as many.
			Batch: BatchOptions{Mode: ModeBlocking, BufferSize: 10000, MaxSize: 1},
		},
		Webhook: WebhookOptions{
			InitialBackoff: 10 * time.Second, Version: version, Truncate: truncate,
			Batch: BatchOptions{Mode: ModeBatch, BufferSize: 10000, MaxSize: 400, MaxWait: 30 * time.Second,
				ThrottleEnable: true, ThrottleQPS: 10, ThrottleBurst: 15},
		},
	}
}

// Validate reports every fault of what is used, by flag.
func (o *Options) Validate() error {
	var errs []error
	if l := &o.Log; l.Path != "" {
		errs = append(errs, l.Batch.validate(backend.LogName), l.Truncate.validate(backend.LogName), version(backend.LogName, l.Version))
		if formats := []string{backend.FormatLegacy, backend.FormatJSON}; !slices.Contains(formats, l.Format) {
			errs = append(errs, fmt.Errorf("--audit-log-format %q: want one of %v", l.Format, formats))
		}
		for flag, n := range map[string]int{"maxage": l.MaxAge, "maxbackup": l.MaxBackups, "maxsize": l.MaxSize} {
			if n < 0 {
				errs = append(errs, fmt.Errorf("--audit-log-%s %d: want 0 or more", flag, n))
			}
		}
	}
	if w := &o.Webhook; w.ConfigFile != "" {
		errs = append(errs, w.Batch.validate(backend.WebhookName), w.Truncate.validate(backend.WebhookName), version(backend.WebhookName, w.Version))
	}
	return errors.Join(errs...)
}

func version(of, v string) error {
	if v == auditv1.SchemeGroupVersion.String() {
		return nil
	}
	return fmt.Errorf("--audit-%s-version %q: want %s", of, v, auditv1.SchemeGroupVersion)
}

func (o *BatchOptions) validate(of string) error {
	if !slices.Contains(Modes, o.Mode) {
		return fmt.Errorf("--audit-%s-mode %q: want one of %v", of, o.Mode, Modes)
	}
	if o.Mode != ModeBatch {
		return nil // the others are not used
	}
	var errs []error
	positive := func(flag string, v float64) {
		if !(v > 0) {
			errs = append(errs, fmt.Errorf("--audit-%s-batch-%s %v: want more than 0", of, flag, v))
		}
	}
	positive("buffer-size", float64(o.BufferSize))
	positive("max-size", float64(o.MaxSize))
	if o.ThrottleEnable {
		positive("throttle-qps", float64(o.ThrottleQPS))
		positive("throttle-burst", float64(o.ThrottleBurst))
	}
	return errors.Join(errs...)
}

func (o *TruncateOptions) validate(of string) error {
	if o.MaxEventSize <= 0 {
		return fmt.Errorf("--audit-%s-truncate-max-event-size %d: want more than 0", of, o.MaxEventSize)
	}
	if o.MaxBatchSize < o.MaxEventSize {
		return fmt.Errorf("--audit-%s-truncate-max-batch-size %d: want --audit-%[1]s-truncate-max-event-size (%[3]d) or more", of, o.MaxBatchSize, o.MaxEventSize)
	}
	return nil
}
