package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"testing"
)

// TestHelp: help that was asked for is no failure, a flag that there is not is
// one.
func TestHelp(t *testing.T) {
	var said bytes.Buffer
	for arg, want := range map[string]int{"-h": 0, "--help": 0, "-nonsense": 2, "-list": 0} {
		if got := exitCode(run(t.Context(), []string{arg}, io.Discard, &said)); got != want {
			t.Errorf("%s: exit code %d, want %d", arg, got, want)
		}
	}
	if exitCode(3, nil) != 1 || exitCode(0, errors.New("no cluster")) != 2 || exitCode(0, flag.ErrHelp) != 0 {
		t.Error("failed cases are 1, what keeps the suite from running 2")
	}
}
