package encrypted

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig/controller"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig/metrics"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
)

// Config says what is encrypted. The zero value encrypts nothing.
type Config struct {
	// File is the EncryptionConfiguration (--encryption-provider-config); "": none.
	File string
	// Reload follows the file (--encryption-provider-config-automatic-reload): it is
	// read once a minute, and what it says counts from then on if it is sound and its
	// key services answer; else what it said before goes on.
	Reload bool
}

// Providers encrypt and decrypt values by resource. They are safe for concurrent use.
type Providers struct {
	of     value.ResourceTransformers // nil: nothing is encrypted
	byGR   sync.Map                   // schema.GroupResource → value.Transformer
	checks []healthz.HealthChecker
	reload *controller.DynamicEncryptionConfigContent // nil: the file is not followed
	close  context.CancelFunc
}

// maxFile bounds a configuration: keys are short, and so are lists of kinds.
const maxFile = 1 << 20

// Open reads the configuration and connects its key services, which need not answer
// yet. server tells this server from others in metrics. Close the Providers when
// nothing is read or written any more.
//
// # Errors
//   - the file cannot be read, or its text names the field that is wrong
func Open(c Config, server string) (*Providers, error) {
	p := &Providers{close: func() {}}
	switch {
	case c.File == "" && c.Reload:
		return nil, errors.New("--encryption-provider-config-automatic-reload needs --encryption-provider-config")
	case c.File == "":
		return p, nil
	}
	if err := checkFile(c.File); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	loaded, err := encryptionconfig.LoadEncryptionConfig(ctx, c.File, c.Reload, server)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("encryption configuration %s: %w", c.File, reworded(err))
	}
	metrics.RecordEncryptionConfigLastConfigInfo(server, loaded.EncryptionFileContentHash)
	if !c.Reload {
		p.of, p.checks, p.close = encryptionconfig.StaticTransformers(loaded.Transformers), loaded.HealthChecks, cancel
		return p, nil
	}
	if len(loaded.HealthChecks) != 1 {
		cancel()
		return nil, fmt.Errorf("encryption configuration %s: %d health checks where reloading needs one", c.File, len(loaded.HealthChecks))
	}
	dynamic := encryptionconfig.NewDynamicTransformers(loaded.Transformers, loaded.HealthChecks[0], cancel, loaded.KMSCloseGracePeriod)
	p.of, p.checks, p.close = dynamic, []healthz.HealthChecker{dynamic}, cancel
	p.reload = controller.NewDynamicEncryptionConfiguration("encryption-provider-config-automatic-reload-controller", c.File, dynamic, loaded.EncryptionFileContentHash, server)
	return p, nil
}

func checkFile(name string) error {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return fmt.Errorf("encryption configuration: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("encryption configuration %s is not a regular file", name)
	case info.Size() > maxFile:
		return fmt.Errorf("encryption configuration %s has %d bytes, limit is %d", name, info.Size(), maxFile)
	}
	return nil
}

// reworded says of what upstream has behind a gate that it is not here.
func reworded(err error) error {
	if strings.Contains(err.Error(), "KMSv1=true") {
		return errors.New("resources[*].providers[*].kms.apiVersion: KMS v1 is not supported, it is deprecated upstream and off by default; write apiVersion: v2 and use a KMS v2 plugin")
	}
	return err
}

// For is the transformer of a resource.
func (p *Providers) For(gr schema.GroupResource) value.Transformer {
	if p.of == nil {
		return identity.NewEncryptCheckTransformer()
	}
	if t, ok := p.byGR.Load(gr); ok {
		return t.(value.Transformer)
	}
	t, _ := p.byGR.LoadOrStore(gr, p.of.TransformerForResource(gr))
	return t.(value.Transformer)
}

// Check is how the key services of a configuration are; see [Providers.Checks].
type Check struct {
	Name  string
	Check func(ctx context.Context) error
}

// Checks are upstream's: kms-providers for all key services together, and none when
// there are none and the file is not followed.
func (p *Providers) Checks() []Check {
	out := make([]Check, 0, len(p.checks))
	for _, c := range p.checks {
		out = append(out, Check{Name: c.Name(), Check: func(ctx context.Context) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/healthz/"+c.Name(), nil)
			if err != nil {
				return err
			}
			return c.Check(r)
		}})
	}
	return out
}

// Run follows the file until ctx ends; without Reload it just waits. What a reload
// connected is closed with ctx: end it after the last read and write.
func (p *Providers) Run(ctx context.Context) error {
	if p.reload == nil {
		<-ctx.Done()
		return nil
	}
	p.reload.Run(ctx)
	return nil
}

// Close ends the connections to key services: what they encrypted can be read no more.
// It always returns nil.
func (p *Providers) Close() error {
	p.close()
	return nil
}
