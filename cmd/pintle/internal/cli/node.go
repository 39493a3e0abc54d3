package cli

import (
	"context"

	"github.com/spf13/cobra"
)

func nodeCommand() *cobra.Command {
	return &cobra.Command{Use: "node", RunE: func(*cobra.Command, []string) error { return context.Canceled }}
}
