package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// output is standard output, which remembers that it could not be written: what a
// command was asked for has then not reached whoever asked, and it has failed,
// whether it looks at each write or not.
type output struct {
	io.Writer
	failed error
}

// Write implements io.Writer. What could not be written once is not tried again, so
// that nothing is left out of the middle.
func (o *output) Write(b []byte) (int, error) {
	if o.failed != nil {
		return 0, o.failed
	}
	n, err := o.Writer.Write(b)
	if err != nil {
		o.failed = fmt.Errorf("cannot write to standard output: %w", err)
		err = o.failed
	}
	return n, err
}

// refuseStrays has commands that only hold others refuse a word that is none of these:
// cobra would print their help, as if that had been asked for, and exit with 0.
func refuseStrays(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		if sub.HasSubCommands() && !sub.Runnable() {
			sub.Args = cobra.NoArgs
			sub.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
		refuseStrays(sub)
	}
}
