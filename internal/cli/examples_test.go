package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestExamples: every command that takes arguments has an example, no example is of a
// command that there is not, and each can be typed as it is: command, flags, arguments.
func TestExamples(t *testing.T) {
	used := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if text, ok := examples[path]; ok {
			used++
			if !strings.Contains(cmd.Example, strings.SplitN(text, "\n", 2)[0]) {
				t.Errorf("%s has another example beside its flags", path)
			}
		}
		if _, arguments, _ := strings.Cut(cmd.Use, " "); arguments != "" && cmd.Runnable() && cmd.Example == "" {
			t.Errorf("%s %s has no example", path, arguments)
		}
		for line := range strings.Lines(cmd.Example) {
			typed := strings.TrimSpace(line)
			for _, part := range strings.Split(typed, " && ") {
				tryExample(t, path, part)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(&env{}))
	if used != len(examples) {
		t.Errorf("%d of %d examples are of commands that there are", used, len(examples))
	}
}

// tryExample has cobra read an example, up to where it would be run.
func tryExample(t *testing.T, path, line string) {
	t.Helper()
	words := shellWords(line)
	begin := slices.Index(words, "creel")
	if begin < 0 {
		return // install, chmod
	}
	words = words[begin+1:]
	if end := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "   ") || w == "|" || w == ">" || w == "<" }); end >= 0 {
		words = words[:end]
	}
	root := newRoot(&env{})
	cmd, rest, err := root.Find(words)
	if err == nil {
		if err = cmd.ParseFlags(rest); err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
	}
	if err != nil {
		t.Errorf("%s: %q cannot be typed: %v", path, line, err)
	}
}

// shellWords are the words of a line, those in double quotes as one. What follows three
// blanks is a remark, and is one word that begins with them.
func shellWords(line string) (words []string) {
	line, remark, _ := strings.Cut(line, "   ")
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	if remark != "" {
		words = append(words, "   "+remark)
	}
	return words
}
