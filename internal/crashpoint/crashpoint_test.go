package crashpoint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// TestAll: every constant stands in the list, once.
func TestAll(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "crashpoint.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []Point
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != "Point" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		declared = append(declared, Point(text))
		return true
	})
	if len(declared) == 0 {
		t.Fatal("found no point")
	}
	slices.Sort(declared)
	listed := slices.Sorted(slices.Values(All))
	if !slices.Equal(declared, listed) || len(slices.Compact(declared)) != len(All) {
		t.Errorf("declared: %v\nlisted:   %v", declared, listed)
	}
}

func TestArm(t *testing.T) {
	var passed []Point
	Arm(func(p Point) { passed = append(passed, p) })
	Passed(IntentWritten)
	Arm(nil)
	Passed(ProcessRecorded)
	if !slices.Equal(passed, []Point{IntentWritten}) {
		t.Errorf("passed %v", passed)
	}
}

// TestUnlisted: a point that the matrix would overlook is refused.
func TestUnlisted(t *testing.T) {
	Arm(func(Point) {})
	defer Arm(nil)
	defer func() {
		if recover() == nil {
			t.Error("a point that stands not in the list was accepted")
		}
	}()
	Passed("of.nobody")
}

// TestProductionCannotBeArmed: creel as it is shipped passes the points and has
// no code that could give them an effect.
func TestProductionCannotBeArmed(t *testing.T) {
	program := filepath.Join(t.TempDir(), "creel")
	if out, err := exec.Command("go", "build", "-o", program, "creel/cmd/creel").CombinedOutput(); err != nil {
		t.Fatalf("cannot build creel: %v\n%s", err, out)
	}
	symbols, err := exec.Command("go", "tool", "nm", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(symbols, []byte("creel/internal/crashpoint.armed")) { // Passed itself is inlined
		t.Error("creel passes no points: this test proves nothing")
	}
	if bytes.Contains(symbols, []byte("creel/internal/crashpoint.Arm")) {
		t.Error("creel can be armed")
	}
}

func BenchmarkPassed(b *testing.B) {
	for b.Loop() {
		Passed(IntentWritten)
	}
}
