// Package lb is the typed edge of the load balancer in the kernel: what a
// service is ([Service]), how it is written into maps ([Table]), which hooks
// read them ([Sockets], [Packets]). It knows no Kubernetes object, watches
// nothing and logs nothing; how programs are attached and pinned is ebpf/attach.
//
// # Spec and object
//
// [LoadSpec] gives a [Spec]: what is asked of the kernel, made from the
// embedded programs and a [Config] alone. [Open] turns it into a [Balancer]:
// live maps and programs, which depend on the kernel and on what a predecessor
// pinned. Reading starts at [Table.Upsert].
//
// # Restart
//
// With a [Config.PinDir], maps and links outlive the process: connections and
// translation go on while nobody runs. The next Open finds them, reads back
// what is there, and replaces the programs under the links atomically. A map
// whose size changed is made anew; then [Table.Replace] before [Sockets.Attach]
// fills it before a program looks at it.
//
// # Layouts
//
// Maps are pinned by version of their layout (PinDir/v2), links in one place for
// all (PinDir/links). Where an older layout is found, Open copies its services,
// and [Sockets.Attach] replaces its programs without losing a connection: what
// they noted is copied while both versions run ([layout1]). A later layout
// adds its predecessor's reader to the list of those, and nothing else. An older version that
// is started again finds the links, and puts its programs there, by maps that it
// fills anew; the next Open discards what was left here and begins from those.
//
// # Order of writes
//
// Backends, then slots, then frontends; removed in reverse. Each step leaves
// maps from which every service can be served, so a packet or a connect in the
// middle of an update gets an old backend or a new one, never none. A change of
// one endpoint is three map writes, however many services there are.
//
// # Connected UDP
//
// A socket that is connected names its peer once. [Reconnector.MoveStrays] takes
// those whose backend is gone to another one; nobody does so for TCP, whose
// connections end with their peer.
//
// All methods may be called concurrently.
// RATIONALE.md: "Why socket-level translation?"
package lb
