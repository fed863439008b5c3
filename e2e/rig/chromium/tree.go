package chromium

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
)

// Node is what a screen reader is told of an element.
type Node struct{ Role, Name string }

// Tree is the page as screen readers have it, in reading order; what they are not told of is left out.
func (t *Tab) Tree() (nodes []Node, err error) {
	err = t.call(func(ctx context.Context) error {
		if _, err := chromedp.Call(ctx, accessibility.Enable, cdp.Empty{}); err != nil {
			return err
		}
		tree, err := chromedp.Call(ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			return err
		}
		for _, n := range tree.Nodes {
			if !n.Ignored {
				nodes = append(nodes, Node{text(n.Role), text(n.Name)})
			}
		}
		return nil
	})
	return nodes, err
}

func text(v *accessibility.Value) string {
	var s string
	if v == nil || json.Unmarshal(v.Value, &s) != nil {
		return ""
	}
	return s
}

// Unnamed are the roles of elements that a person acts on and that have no name.
func Unnamed(nodes []Node) (roles []string) {
	acted := []string{"button", "link", "textbox", "searchbox", "combobox", "checkbox", "image", "img", "region", "navigation", "DisclosureTriangle"}
	for _, n := range nodes {
		if n.Name == "" && slices.Contains(acted, n.Role) {
			roles = append(roles, n.Role)
		}
	}
	return roles
}
