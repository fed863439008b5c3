// Command bench measures cid against a floor that it measures in the same
// minute on the same machine: the bare Docker engine, or itself with less in
// its database. It prints ratios; absolute times move with the machine.
//
//	go run ./e2e/bench [-only a,c] [-bin bin] [-runs 200] [-before bin]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
)

// figure is one measured line.
type figure struct {
	id, what string
	ours     string
	floor    string
	value    float64 // what the goal is about, usually ours/floor
	goal     string
	ok       bool
	note     string
}

type bench struct {
	bin    string
	runs   int
	queued int
	rounds int
	big    int
	before string
}

func main() {
	b := &bench{}
	only := flag.String("only", "a,b,c,d,e,f,g,h,i,j,k,l,m,t", "which figures to measure")
	flag.StringVar(&b.bin, "bin", "bin", "folder with cid and ci")
	flag.IntVar(&b.runs, "runs", 200, "queued runs of figure b")
	flag.IntVar(&b.queued, "queued", 200, "queued runs of figure l; 1000 for the goal")
	flag.IntVar(&b.rounds, "rounds", 15, "rounds of figures a, g, h, i and k")
	flag.IntVar(&b.big, "big", 1_000_000, "stored runs of figure d")
	flag.StringVar(&b.before, "before", "", "folder with an earlier ci, whose keys figure t measures in turn with ours")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.measure(ctx, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) measure(ctx context.Context, only []string) error {
	all := map[string]func(context.Context) ([]figure, error){
		"a": b.emptyRun, "b": b.manyRuns, "c": b.console, "d": b.reads, "e": b.triggers, "f": b.idle, "g": b.service, "h": b.claims, "i": b.abort, "j": b.coldList, "k": b.neighbour, "l": b.drain, "m": b.pages, "t": b.screen,
	}
	var figures []figure
	for _, id := range only {
		f, ok := all[id]
		if !ok {
			return fmt.Errorf("there is no figure %q; there are a to m and t", id)
		}
		fmt.Fprintf(os.Stderr, "measuring %s …\n", id)
		got, err := f(ctx)
		if err != nil {
			return fmt.Errorf("figure %s: %w", id, err)
		}
		show(got)
		figures = append(figures, got...)
	}
	fmt.Println()
	show(figures)
	return nil
}

func show(figures []figure) {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FIGURE\tWHAT\tOURS\tFLOOR\tVALUE\tGOAL\tMET\tNOTE")
	for _, f := range figures {
		met := "yes"
		if !f.ok {
			met = "NO"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2f\t%s\t%s\t%s\n", f.id, f.what, f.ours, f.floor, f.value, f.goal, met, f.note)
	}
	_ = w.Flush()
}
