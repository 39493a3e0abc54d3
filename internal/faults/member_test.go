package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

// memberEnv, when set, makes this test binary a member of an etcd: its
// configuration as JSON.
const memberEnv = "PINTLE_FAULTS_MEMBER"

// runMember serves until it is killed.
func runMember(config string) error {
	var c embed.Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	s, err := embed.Start(context.Background(), c)
	if err != nil {
		return err
	}
	return <-s.Err()
}

// members is an etcd of several processes.
type members struct {
	t    *testing.T
	list []*member
}

type member struct {
	config embed.Config
	cmd    *exec.Cmd
}

func newMembers(t *testing.T, n int) *members {
	m := &members{t: t}
	var cluster []string
	for i := range n {
		name, peer := fmt.Sprint("m", i), "http://"+freeAddress(t)
		cluster = append(cluster, name+"="+peer)
		m.list = append(m.list, &member{config: embed.Config{Dir: filepath.Join(t.TempDir(), name), Name: name,
			PeerURLs: []string{peer}, ClientURLs: []string{"http://" + freeAddress(t)}}})
	}
	for i, x := range m.list {
		x.config.InitialCluster = strings.Join(cluster, ",")
		m.start(i)
	}
	t.Cleanup(func() {
		for i := range m.list {
			m.kill(i)
		}
	})
	return m
}

func (m *members) start(i int) {
	m.t.Helper()
	x := m.list[i]
	config, err := json.Marshal(x.config)
	if err != nil {
		m.t.Fatal(err)
	}
	x.cmd = exec.Command(os.Args[0])
	x.cmd.Env = append(os.Environ(), memberEnv+"="+string(config))
	x.cmd.Stderr = os.Stderr
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := x.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *members) kill(i int) {
	_ = m.list[i].cmd.Process.Kill()
	_ = m.list[i].cmd.Wait()
}

func (m *members) endpoints() (all []string) {
	for _, x := range m.list {
		all = append(all, x.config.ClientURLs...)
	}
	return all
}

func (m *members) flags() (flags []string) {
	for _, e := range m.endpoints() {
		flags = append(flags, "--etcd-endpoints", e)
	}
	return flags
}

// store reads what the members have.
func (m *members) store(t *testing.T) store.Store {
	t.Helper()
	var s store.Store
	wait(t, "the etcd answers", func() (err error) {
		s, err = store.Dial(t.Context(), store.DialConfig{Endpoints: m.endpoints()})
		return err
	})
	t.Cleanup(func() { s.Close() })
	return s
}
