package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// column is one column of a list: what it shows of an item, and how.
type column[T any] struct {
	head  string
	value func(T) string
	style func(T) style // nil is plain
}

// printTable prints items to a terminal as a table with people's columns, else
// as lines of tab-separated values with the columns of piped. Values are
// cleaned here, so that no column can be forgotten.
func printTable[T any](a *app, items []T, people, piped []column[T]) {
	if !a.OutTTY {
		for _, item := range items {
			fmt.Fprintln(a.Out, strings.Join(row(item, piped), "\t"))
		}
		return
	}
	rows := make([][]string, len(items))
	widths := make([]int, len(people))
	for i, c := range people {
		widths[i] = utf8.RuneCountInString(c.head)
	}
	for i, item := range items {
		rows[i] = row(item, people)
		for j, v := range rows[i] {
			widths[j] = max(widths[j], utf8.RuneCountInString(v))
		}
	}
	fit(widths, a.Width)
	heads := make([]string, len(people))
	styles := make([]style, len(people))
	for i, c := range people {
		heads[i], styles[i] = c.head, dim
	}
	a.printRow(heads, widths, styles)
	for i, item := range items {
		for j, c := range people {
			styles[j] = plain
			if c.style != nil {
				styles[j] = c.style(item)
			}
		}
		a.printRow(rows[i], widths, styles)
	}
}

func row[T any](item T, columns []column[T]) []string {
	values := make([]string, len(columns))
	for i, c := range columns {
		values[i] = clean(c.value(item))
	}
	return values
}

const gap = "  "

// fit narrows the last column so that a row fits the terminal.
func fit(widths []int, width int) {
	if width <= 0 || len(widths) == 0 {
		return
	}
	last := len(widths) - 1
	rest := width
	for _, w := range widths[:last] {
		rest -= w + len(gap)
	}
	widths[last] = max(min(widths[last], rest), 8)
}

func (a *app) printRow(values []string, widths []int, styles []style) {
	var b strings.Builder
	for i, v := range values {
		text := []rune(v)
		if len(text) > widths[i] {
			text = append(text[:widths[i]-1], '…')
		}
		b.WriteString(a.outStyle(styles[i], string(text)))
		if i < len(values)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-len(text)) + gap)
		}
	}
	fmt.Fprintln(a.Out, strings.TrimRight(b.String(), " "))
}

// pipedColumns is the sentence of a verb's help that fixes its columns.
func pipedColumns[T any](columns []column[T]) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.head
	}
	return "Columns in a pipe, separated by tabs: " + strings.Join(names, ", ") + "."
}

// pair is one line of what a verb shows of a single thing.
type pair struct{ name, value string }

// printPairs prints "name: value" lines, aligned on a terminal; in a pipe
// "name<tab>value", empty values too.
func (a *app) printPairs(pairs []pair) {
	width := 0
	for _, p := range pairs {
		width = max(width, len(p.name))
	}
	for _, p := range pairs {
		switch value := clean(p.value); {
		case !a.OutTTY:
			fmt.Fprintf(a.Out, "%s\t%s\n", p.name, value)
		case value != "":
			fmt.Fprintf(a.Out, "%s%s %s\n", a.outStyle(dim, p.name+":"), strings.Repeat(" ", width-len(p.name)), value)
		}
	}
}
