package house

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

// TestNoHiddenState finds what runs or changes behind everybody's back: init
// functions, and package-level variables that are not fixed once and for all.
func TestNoHiddenState(t *testing.T) {
	t.Parallel()
	report(t, load(t).hiddenState())
}

func (h *house) hiddenState() []string {
	rooms := map[string][]source{}
	for _, s := range h.sources {
		if !s.test && !s.generated {
			rooms[s.room] = append(rooms[s.room], s)
		}
	}
	var faults []string
	for _, files := range rooms {
		faults = append(faults, h.inits(files)...)
		faults = append(faults, h.globals(files)...)
	}
	return faults
}

func (h *house) inits(files []source) []string {
	var faults []string
	for _, s := range files {
		for _, d := range s.file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				faults = append(faults, h.at(fn.Pos())+": init runs unasked; let a constructor do it")
			}
		}
	}
	return faults
}

// globals finds package-level variables that are made to change (no value, a
// lock, a channel, an atomic), and those that some line does change.
func (h *house) globals(files []source) []string {
	var faults []string
	for _, s := range files {
		for _, d := range s.file.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				v := spec.(*ast.ValueSpec)
				if why := changeable(v); why != "" && !embedded(gen, v) && v.Names[0].Name != "_" {
					faults = append(faults, fmt.Sprintf("%s: %s is a package-level variable %s; give it an owner", h.at(v.Pos()), v.Names[0].Name, why))
				}
			}
		}
	}
	return append(faults, h.writes(files)...)
}

func changeable(v *ast.ValueSpec) string {
	if len(v.Values) == 0 {
		return "without a value"
	}
	if _, ok := v.Type.(*ast.ChanType); ok {
		return "that is a channel"
	}
	for _, value := range v.Values {
		text := types.ExprString(value)
		if strings.HasPrefix(text, "sync.") || strings.HasPrefix(text, "atomic.") || strings.HasPrefix(text, "make(chan") {
			return "that is made to change"
		}
	}
	return ""
}

// embedded says whether the go command fills the variable in.
func embedded(gen *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{gen.Doc, v.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed") {
				return true
			}
		}
	}
	return false
}

// writes finds assignments to package-level variables, of this package or
// another. Types of imports are not needed for that, so they are not loaded.
func (h *house) writes(files []source) []string {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}}
	parsed := make([]*ast.File, len(files))
	for i, s := range files {
		parsed[i] = s.file
	}
	pkg, _ := conf.Check(files[0].room, h.fset, parsed, info)

	var faults []string
	target := func(e ast.Expr) {
		if name := globalName(info, pkg, e); name != "" {
			faults = append(faults, fmt.Sprintf("%s: changes the package-level variable %s; give it an owner", h.at(e.Pos()), name))
		}
	}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						target(e)
					}
				}
			case *ast.IncDecStmt:
				target(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					target(n.X)
				}
			}
			return true
		})
	}
	return faults
}

// globalName returns the package-level variable that an expression such as
// x, x.field, x[i] or pkg.X is part of, or "".
func globalName(info *types.Info, pkg *types.Package, e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok {
				if _, ok := info.Uses[id].(*types.PkgName); ok {
					return id.Name + "." + x.Sel.Name
				}
			}
			e = x.X
		case *ast.Ident:
			if v, ok := info.Uses[x].(*types.Var); ok && pkg != nil && v.Parent() == pkg.Scope() {
				return x.Name
			}
			return ""
		default:
			return ""
		}
	}
}

func (h *house) at(pos token.Pos) string {
	p := h.fset.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// nothing is an importer for those who only look at one package.
type nothing struct{}

func (nothing) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }
