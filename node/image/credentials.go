package image

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/cri"
)

// login is an entry of a docker configuration.
type login struct {
	Username      string `json:"username"`
	Password      string `json:"password"`
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// credentials lists the logins to try for an image, best match first; the
// last is none at all.
func (p *Puller) credentials(pod *corev1.Pod, ref string) ([]*cri.Auth, error) {
	type match struct {
		length int
		auth   *cri.Auth
	}
	var (
		found []match
		errs  []error
	)
	for _, s := range pod.Spec.ImagePullSecrets {
		secret, err := p.cfg.Secret(pod.Namespace, s.Name)
		if err != nil || secret == nil {
			errs = append(errs, fmt.Errorf("secret %s: %w", s.Name, errors.Join(err, errMissing(secret))))
			continue
		}
		logins, err := parseLogins(secret)
		if err != nil {
			errs = append(errs, fmt.Errorf("secret %s: %w", s.Name, err)) // names no content
			continue
		}
		for server, l := range logins {
			if !covers(server, ref) {
				continue
			}
			auth, err := l.auth(server)
			if err != nil {
				errs = append(errs, fmt.Errorf("secret %s: %w", s.Name, err))
				continue
			}
			found = append(found, match{len(server), auth})
		}
	}
	slices.SortStableFunc(found, func(a, b match) int { return b.length - a.length })
	var out []*cri.Auth
	for _, m := range found {
		out = append(out, m.auth)
	}
	if len(out) == 0 {
		out = append(out, nil)
	}
	return out, errors.Join(errs...)
}

func errMissing(s *corev1.Secret) error {
	if s == nil {
		return errors.New("not found")
	}
	return nil
}

func parseLogins(s *corev1.Secret) (map[string]login, error) {
	switch s.Type {
	case corev1.SecretTypeDockerConfigJson:
		var c struct {
			Auths map[string]login `json:"auths"`
		}
		if json.Unmarshal(s.Data[corev1.DockerConfigJsonKey], &c) != nil {
			return nil, errors.New("its docker configuration is malformed")
		}
		return c.Auths, nil
	case corev1.SecretTypeDockercfg:
		var c map[string]login
		if json.Unmarshal(s.Data[corev1.DockerConfigKey], &c) != nil {
			return nil, errors.New("its docker configuration is malformed")
		}
		return c, nil
	}
	return nil, fmt.Errorf("type %s holds no registry logins", s.Type)
}

func (l login) auth(server string) (*cri.Auth, error) {
	a := &cri.Auth{Username: l.Username, Password: l.Password, ServerAddress: server,
		IdentityToken: l.IdentityToken, RegistryToken: l.RegistryToken}
	if l.Auth != "" {
		b, err := base64.StdEncoding.DecodeString(l.Auth)
		if err != nil {
			return nil, errors.New("malformed auth field")
		}
		user, password, ok := strings.Cut(string(b), ":")
		if !ok {
			return nil, errors.New("malformed auth field")
		}
		a.Username, a.Password = user, strings.TrimRight(password, "\x00")
	}
	return a, nil
}

// covers reports whether a login for server is one for ref. server may be a
// host, a URL, a host with a path prefix, and may use * within a host's label.
func covers(server, ref string) bool {
	r, err := name.ParseReference(ref)
	if err != nil {
		return false
	}
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	host := r.Context().RegistryStr()
	if !hostCovers(u.Host, host) && !(host == name.DefaultRegistry && (u.Host == "docker.io" || u.Host == "registry-1.docker.io")) {
		return false
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix == "" || prefix == "v1" || prefix == "v2" {
		return true
	}
	return prefix == r.Context().RepositoryStr() || strings.HasPrefix(r.Context().RepositoryStr(), prefix+"/")
}

func hostCovers(pattern, host string) bool {
	if !strings.Contains(pattern, "*") {
		return pattern == host
	}
	a, b := strings.Split(pattern, "."), strings.Split(host, ".")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if ok, err := path.Match(a[i], b[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
