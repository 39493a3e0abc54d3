package embed_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/storetest"
)

// childDir, when set, makes this test binary the victim of TestKill.
const childDir = "PINTLE_STORE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, child(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child writes until it is killed.
func child(dir string) error {
	ctx := context.Background()
	s, err := embed.Start(ctx, embed.Config{Dir: dir})
	if err != nil {
		return err
	}
	return storetest.Load(ctx, s.Store(), os.Stdout, fmt.Sprint(os.Getpid()), 8)
}

// TestKill kills a process with a member under load, several times over, and
// checks that what it acknowledged survives.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]int64{}
	for _, n := range []int{1, 300, 1000} {
		kill(t, dir, acked, n)
	}
	s := start(t, embed.Config{Dir: dir})
	storetest.Verify(t, s.Store(), acked)
	if len(acked) < 1301 {
		t.Errorf("only %d commits were acknowledged", len(acked))
	}
}

// kill starts a victim, lets it acknowledge n commits, kills it and adds all
// that it acknowledged to acked.
func kill(t *testing.T, dir string, acked map[string]int64, n int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if err := storetest.Acks(r, acked, n); err != nil {
		t.Fatalf("the victim ended before %d commits: %v", n, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// What it had acknowledged before it died is still in the pipe.
	if err := storetest.Acks(r, acked, 1<<30); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the victim was not killed")
	}
}
