package store

import (
	"context"
)

// SealedRow is one sealed value, wherever it lies.
type SealedRow struct {
	Sealed []byte

	at            sealedTable
	first, second string // the row's keys
}

// About is what the value is sealed about: its kind, then its row's keys.
func (r SealedRow) About() []string {
	if r.at.second == "" {
		return []string{r.at.kind, r.first}
	}
	return []string{r.at.kind, r.first, r.second}
}

// sealedTable is a table with a column sealed.
type sealedTable struct {
	kind, table   string
	first, second string // the columns of its key; second may be ""
}

func sealedTables() []sealedTable {
	return []sealedTable{
		{kind: "secret", table: "secrets", first: "job", second: "name"},
		{kind: "registry", table: "registries", first: "host"},
		{kind: "ssh-key", table: "ssh_keys", first: "name"},
		{kind: "forge", table: "forges", first: "name"},
	}
}

// SealedRows returns every sealed value. It is for changing keys; there are few enough.
func (r reader) SealedRows(ctx context.Context) ([]SealedRow, error) {
	all := []SealedRow{}
	for _, t := range sealedTables() {
		fields := t.first + ", ''"
		if t.second != "" {
			fields = t.first + ", " + t.second
		}
		list, err := many(ctx, r.s, func(row *SealedRow) []any {
			return []any{&row.first, &row.second, &row.Sealed}
		}, "SELECT "+fields+", sealed FROM "+t.table+" ORDER BY "+t.first)
		if err != nil {
			return nil, err
		}
		for k := range list {
			list[k].at = t
		}
		all = append(all, list...)
	}
	return all, nil
}

// Reseal replaces a value by the same one sealed again. When the row has
// changed or gone meanwhile, it stays as it is, and done is false.
func (tx *Tx) Reseal(ctx context.Context, row SealedRow, sealed []byte) (done bool, err error) {
	text, args := "UPDATE "+row.at.table+" SET sealed = ? WHERE sealed = ? AND "+row.at.first+" = ?", []any{sealed, row.Sealed, row.first}
	if row.at.second != "" {
		text, args = text+" AND "+row.at.second+" = ?", append(args, row.second)
	}
	n, err := tx.s.exec(ctx, text, args...)
	return n == 1, err
}
