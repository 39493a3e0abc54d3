package embed

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/pintle-io/pintle/kernel/store"
)

// Config describes one member. Only Dir is required: the rest is a single
// member without listeners.
type Config struct {
	Dir string // made if absent; belongs to this member alone
	// Marker is a file that is written when Dir holds a cluster; while it is
	// there, no other is begun in an empty Dir. It should be on another file
	// system than Dir, if that is one of its own. "" is none.
	Marker string
	// Name of the member, unique in its cluster. "" is "pintle".
	Name string

	// PeerURLs are listened on for other members; none: a single member that
	// others cannot join until it is restarted with one. AdvertiseURLs are
	// what others dial; none: PeerURLs.
	PeerURLs      []string
	AdvertiseURLs []string
	// InitialCluster lists all members as name=url,name=url when the cluster
	// is first formed, or when this member joins (Join). "" is this member.
	InitialCluster string
	// Join: the cluster exists and lists this member already.
	Join    bool
	PeerTLS TLS

	// ClientURLs are listened on for foreign clients, etcdctl or an upstream
	// API server for example; none: no listener.
	ClientURLs []string
	ClientTLS  TLS

	// Quota is the size in bytes that the database may reach before writes are
	// refused. 0 is 8 GiB.
	Quota int64
	// History is how long old revisions are kept at least. etcd drops what is
	// older once in that time, so they are kept for twice as long at most, and a
	// tenth of it. 0 is 4 minutes; negative keeps everything until store.Compact.
	History time.Duration
	// Progress is the interval of progress notices to idle watches. 0 is 5
	// seconds; at least 100 ms.
	Progress time.Duration
	// UnsafeNoFsync trades every promise about power loss for speed. For
	// benchmarks and tests on a tmpfs.
	UnsafeNoFsync bool

	Log *slog.Logger // nil discards
}

// TLS names the files that secure a listener. Members that are not verified by
// CAFile are refused. The zero value is no TLS.
type TLS struct {
	CertFile, KeyFile, CAFile string
}

const (
	defaultName  = "pintle"
	defaultQuota = 8 << 30
	// Pages are answered from snapshots for five minutes and from the history
	// after that; clients that wait for a token to run out, upstream's suite for
	// one, give it ten.
	defaultHistory  = 4 * time.Minute
	defaultProgress = 5 * time.Second

	// maxRequestBytes leaves room for a Commit of store.MaxOps objects of a
	// few kilobytes each. etcd itself warns above 10 MiB.
	maxRequestBytes = 8 << 20
	// singleTick and singleElection apply to a member without peers, which has
	// nobody to lose an election to: it leads within 150 ms of its start.
	singleTick     = 25  // ms
	singleElection = 125 // ms
	// catchUpEntries of the raft log stay in memory for slow followers; those
	// further behind get a copy of the database. Entries may be megabytes, so
	// etcd's 5000 would be gigabytes.
	catchUpEntries       = 500
	singleCatchUpEntries = 16

	// snapshotCount is the most entries of the raft log that a start reads back
	// into memory. With the empty ones that a raftLog adds this bounds their
	// bytes, too; etcd's 10000 could be gigabytes. A snapshot is a small file and
	// three calls of fsync.
	snapshotCount = 2000

	// placeholderURL fills the place of the peer URL that etcd insists on in a
	// member that listens to none. Nobody dials it.
	placeholderURL = "http://127.0.0.1:2380"
)

// etcd translates the configuration.
func (c *Config) etcd(log *slog.Logger, f *faults) (*embed.Config, error) {
	cfg := embed.NewConfig()
	cfg.Dir = filepath.Join(c.Dir, "etcd")
	cfg.Name = cmp.Or(c.Name, defaultName)
	cfg.UnsafeNoFsync = c.UnsafeNoFsync
	cfg.QuotaBackendBytes = cmp.Or(c.Quota, defaultQuota)
	cfg.MaxTxnOps = store.MaxOps
	cfg.MaxRequestBytes = maxRequestBytes
	cfg.WatchProgressNotifyInterval = cmp.Or(c.Progress, defaultProgress)
	cfg.SnapshotCount = snapshotCount
	cfg.SnapshotCatchUpEntries = catchUpEntries
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(bridge(log, f))
	if c.History >= 0 {
		cfg.AutoCompactionMode = embed.CompactorModePeriodic
		cfg.AutoCompactionRetention = cmp.Or(c.History, defaultHistory).String()
	}
	if err := c.peers(cfg); err != nil {
		return nil, err
	}
	return cfg, c.clients(cfg)
}

// peers sets what concerns the cluster.
func (c *Config) peers(cfg *embed.Config) (err error) {
	advertise := c.AdvertiseURLs
	if len(advertise) == 0 {
		advertise = c.PeerURLs
	}
	if len(advertise) == 0 {
		advertise = []string{placeholderURL}
	}
	if cfg.ListenPeerUrls, err = parse(c.PeerURLs); err != nil {
		return err
	}
	if cfg.AdvertisePeerUrls, err = parse(advertise); err != nil {
		return err
	}
	if cfg.InitialCluster = c.InitialCluster; cfg.InitialCluster == "" {
		cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	}
	if c.Join {
		cfg.ClusterState = embed.ClusterStateFlagExisting
	}
	cfg.InitialClusterToken = "pintle"
	cfg.PeerTLSInfo = c.PeerTLS.info()
	if len(c.PeerURLs) == 0 {
		cfg.TickMs, cfg.ElectionMs = singleTick, singleElection
		cfg.SnapshotCatchUpEntries = singleCatchUpEntries
	}
	return nil
}

// logBytes is how much of the raft log may be in memory.
func (c *Config) logBytes() int {
	if len(c.PeerURLs) == 0 {
		return singleLogBytes
	}
	return logBytes
}

// clients sets the listeners for foreign clients.
func (c *Config) clients(cfg *embed.Config) (err error) {
	if cfg.ListenClientUrls, err = parse(c.ClientURLs); err != nil {
		return err
	}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ClientTLSInfo = c.ClientTLS.info()
	return nil
}

// info requires a verified certificate from whoever connects as soon as there
// is a CA to verify it with.
func (t TLS) info() transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: t.CertFile, KeyFile: t.KeyFile, TrustedCAFile: t.CAFile,
		ClientCertAuth: t.CAFile != "",
	}
}

func parse(raw []string) ([]url.URL, error) {
	var out []url.URL
	for _, r := range raw {
		u, err := url.Parse(r)
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		out = append(out, *u)
	}
	return out, nil
}
