package cli

import (
	"context"
	"iter"
)

// collect reads a whole list.
func collect[T any](items iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

// printList prints all pages of a paged list of the server as one document.
func (a *app) printList(ctx context.Context, path, key string) error {
	r, err := a.rest()
	if err != nil {
		return err
	}
	doc, err := r.list(ctx, path, nil, key, 0)
	if err != nil {
		return err
	}
	return a.printJSON(ctx, doc)
}
