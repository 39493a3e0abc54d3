// Package encrypted is a store whose values are encrypted at rest, as Kubernetes
// does it: by upstream's EncryptionConfiguration (apiserver.config.k8s.io/v1), with
// upstream's providers and upstream's format, so that the data of one can be read by
// the other. Which values are encrypted is a matter of the resource that a key
// belongs to; who makes the store says how that is found.
//
// [Open] reads a configuration and makes [Providers], which choose the transformer of
// a resource, follow changes of the file, and tell how key services are. [Wrap] puts a
// transformer between a store and its users: every value of a Commit passes it on its
// way in, every value of a Get, List, Watch or conflict on its way out, bound to its
// key as authenticated data. A value that cannot be decrypted is a KV with Err, and
// fails nothing else.
//
// Source: KEP-3299 (KMS v2), k8s.io/apiserver/pkg/server/options/encryptionconfig.
package encrypted
