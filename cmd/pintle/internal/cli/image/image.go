// Package image is `pintle image`: images for the cluster's own registry.
package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/spf13/cobra"

	"github.com/pintle-io/pintle/internal/images/build"
)

// DefaultAddress is where `pintle up` serves images.
const DefaultAddress = "127.0.0.1:5000"

// Command is `pintle image`.
func Command() *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Images in Pintle's own registry"}
	var f registryFlags
	f.Add(cmd)
	cmd.PersistentFlags().StringVar(&f.addr, "registry", DefaultAddress, "address of the registry")
	cmd.PersistentFlags().StringVar(&f.tokenFile, "token-file", "", "a token for pushing and deleting; - is standard input (default: the cluster makes one)")
	cmd.AddCommand(pushCommand(&f), listCommand(&f.addr), saveCommand(&f.addr), deleteCommand(&f))
	return cmd
}

// pushFlags describe an image that is made from a binary.
type pushFlags struct {
	binary         string
	links, env     []string
	ports, command []string
	add            []string
}

func pushCommand(to *registryFlags) *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use:   "push NAME [ARCHIVE]",
		Short: "Push an OCI or docker archive, or a static binary, as an image",
		Example: `  pintle image push shop:v1 shop.tar
  pintle image push shop:v1 --binary ./shop --port 8080
  pintle image push busybox:1 --binary /bin/busybox --link /bin/sh --link /bin/cat`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			img, done, err := f.image(args)
			if err != nil {
				return err
			}
			defer done()
			token, err := to.token(cmd.Context())
			if err != nil {
				return err
			}
			digest, err := build.Push(cmd.Context(), to.addr, args[0], img, token)
			if err != nil {
				return registryError(to.addr, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s pushed, %s\n", args[0], digest)
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.binary, "binary", "", "make the image from this static Linux executable")
	fl.StringArrayVar(&f.links, "link", nil, "with --binary: a path that links to the executable (repeatable)")
	fl.StringArrayVar(&f.add, "add", nil, "with --binary: FILE=PATH, one more file of the image (repeatable)")
	fl.StringArrayVar(&f.env, "env", nil, "with --binary: NAME=value (repeatable)")
	fl.StringArrayVar(&f.ports, "port", nil, "with --binary: a port that it serves, for documentation (repeatable)")
	fl.StringArrayVar(&f.command, "arg", nil, "with --binary: a default argument (repeatable)")
	return cmd
}

func (f *pushFlags) image(args []string) (build.Named, func(), error) {
	none := func() {}
	switch {
	case f.binary != "" && len(args) == 2:
		return build.Named{}, none, errors.New("give an archive or --binary, not both")
	case f.binary != "":
		img, err := f.fromBinary()
		return img, none, err
	case len(args) < 2:
		return build.Named{}, none, errors.New("give an archive (an OCI layout or what `docker save` writes) or --binary FILE")
	}
	a, err := build.Open(args[1])
	if err != nil {
		return build.Named{}, none, err
	}
	done := func() { _ = a.Close() }
	if len(a.Images) != 1 {
		done()
		return build.Named{}, none, fmt.Errorf("%s holds %d images; push an archive with one", args[1], len(a.Images))
	}
	return a.Images[0], done, nil
}

func (f *pushFlags) fromBinary() (build.Named, error) {
	spec := build.Spec{Env: f.env, Cmd: f.command}
	for _, p := range f.ports {
		if !strings.Contains(p, "/") {
			p += "/tcp"
		}
		spec.Ports = append(spec.Ports, p)
	}
	target := "/" + filepath.Base(f.binary)
	for _, l := range f.links {
		if !filepath.IsAbs(l) {
			return build.Named{}, fmt.Errorf("--link %q: want an absolute path in the image", l)
		}
		spec.Files = append(spec.Files, build.File{Path: l, Link: target})
	}
	for _, a := range f.add {
		from, to, ok := strings.Cut(a, "=")
		if !ok || !filepath.IsAbs(to) {
			return build.Named{}, fmt.Errorf("--add %q: want FILE=/PATH", a)
		}
		spec.Files = append(spec.Files, build.File{Path: to, From: from})
	}
	img, err := build.Binary(f.binary, spec)
	return build.Named{Image: img}, err
}

func registryError(addr string, err error) error {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("no registry answers at %s: is the cluster up? (--registry names another)\n%w", addr, err)
	}
	return err
}

func listCommand(addr *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the images in the registry", Aliases: []string{"ls"}, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, "http://"+*addr+"/pintle/images", nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return registryError(*addr, err)
			}
			defer resp.Body.Close()
			var names []string
			if err := json.NewDecoder(resp.Body).Decode(&names); err != nil {
				return fmt.Errorf("list images: %w", err)
			}
			for _, n := range names {
				fmt.Fprintln(cmd.OutOrStdout(), n)
			}
			return nil
		},
	}
}

func saveCommand(addr *string) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "save NAME --output FILE", Short: "Write an image of the registry into a docker archive", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" {
				return errors.New("--output FILE is required")
			}
			tag, err := build.Destination(*addr, args[0])
			if err != nil {
				return err
			}
			img, err := remote.Image(tag, remote.WithContext(cmd.Context()))
			if err != nil {
				return registryError(*addr, err)
			}
			as, err := name.NewTag(args[0])
			if err != nil {
				return err
			}
			if err := tarball.WriteToFile(output, as, img); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s saved to %s\n", args[0], output)
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write")
	return cmd
}

func deleteCommand(at *registryFlags) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete an image from the registry, and what only it held", Aliases: []string{"rm"}, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			tag, err := build.Destination(at.addr, args[0])
			if err != nil {
				return err
			}
			token, err := at.token(cmd.Context())
			if err != nil {
				return err
			}
			if err := remote.Delete(tag, remote.WithContext(cmd.Context()), remote.WithAuth(&authn.Bearer{Token: token})); err != nil {
				return fmt.Errorf("delete %s: %w", args[0], registryError(at.addr, err))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s deleted\n", args[0])
			return nil
		},
	}
}
