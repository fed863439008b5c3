package browser

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ci/e2e/rig/chromium"
)

// A fan, a question, and what comes after it; people see what strangers have written as text.
const program = `p = params(stage = "test")
print("<script>alert(1)</script> \u202eevil")
package = run("quick", name = "package")
wait(package)
all([run("quick", name = "test on " + s) for s in ["linux", "windows", "a system with a name that is far too long for any picture of it"]])
approve("ship <img src=x onerror=alert(1)> to " + p.stage + "?")
all(run("quick", name = "deploy"))
`

// pipelines: a run is followed by its picture, answered, and reached by keyboard.
func (w *world) pipelines(t *testing.T) {
	w.t = t
	w.put("quick", map[string]any{"freestyle": map[string]any{"script": "true"}})
	require.NoError(t, w.api.Call(t.Context(), "PUT", "/pipelines/release", map[string]any{"program": program}, nil))
	w.open("/ui/pipelines")
	require.NoError(t, w.tab.Click("#pipelines a.run"))
	w.await("location.pathname === '/ui/pipelines/release'")
	require.NoError(t, w.tab.Click("#start-h ~ form button.main"))
	w.await("location.pathname === '/ui/pipelines/release/runs/1'")
	w.await("document.querySelector('.ask')") // the page follows by itself
	require.Equal(t, "live", w.text("#live-text"))
	require.Contains(t, w.text(".ask h2"), "ship <img src=x onerror=alert(1)> to test?")
	require.Contains(t, w.text("#tree"), "<script>alert(1)</script>")
	drawn, err := chromium.Eval[int](w.tab, "document.querySelectorAll('.graph a').length")
	require.NoError(t, err)
	require.Equal(t, 5, drawn)
	w.fine("the run that asks")

	// The picture is reached and read without a mouse, and leads to the list, which leads to the runs.
	_, err = chromium.Eval[bool](w.tab, "document.querySelector('.graph a').focus() === undefined")
	require.NoError(t, err)
	require.NoError(t, w.tab.Press("\r"))
	w.await("location.hash === '#step-1' && document.querySelector('#step-1:target')")
	nodes, err := w.tab.Tree()
	require.NoError(t, err)
	require.Empty(t, chromium.Unnamed(nodes))
	for _, want := range []chromium.Node{
		{Role: "link", Name: "package: succeeded"},
		{Role: "button", Name: "Approve"},
		{Role: "button", Name: "Reject"},
		{Role: "region", Name: "Picture of the run"},
		{Role: "heading", Name: "Steps"},
		{Role: "link", Name: "quick #" + w.text("#step-1 a")[len("quick #"):]},
	} {
		require.Contains(t, nodes, want)
	}
	require.NoError(t, w.tab.Type(".answer input[name=note]", "after the demo"))
	require.NoError(t, w.tab.Click(".answer button.main"))
	w.await("document.querySelector('#verdict .good')")
	require.Contains(t, w.text("#tree"), "approve ship")
	w.await("document.querySelectorAll('.graph a').length === 6")
	w.fine("the run at its end")
}

// away: what happens while the server is away is on the page once it is back.
func (w *world) away(t *testing.T) {
	w.t = t
	w.open("/ui/")
	w.await("document.querySelector('#live-text').textContent === 'live'")
	require.NoError(t, w.cid.Kill())
	w.await("document.querySelector('#live-text').textContent === 'reconnecting'")
	require.NoError(t, w.cid.Start(t.Context()))
	w.put("made-meanwhile", map[string]any{"freestyle": map[string]any{"script": "true"}}) // no run tells of it
	w.await("document.querySelector('[data-key=made-meanwhile]')")
	_ = w.tab.Faults() // the browser's own log says that nobody answered, which is true

	// Earlier lines come by their link when the script can't have them.
	w.put("long", map[string]any{"freestyle": map[string]any{"script": "seq 2000"}})
	r, err := w.api.Trigger(t.Context(), "long")
	require.NoError(t, err)
	_, err = w.api.Wait(t.Context(), "long", r.ID, 3*time.Minute)
	require.NoError(t, err)
	w.open(fmt.Sprintf("/ui/jobs/long/runs/%d", r.ID))
	_, err = chromium.Eval[bool](w.tab, "(window.fetch = () => Promise.reject(new Error('no')), true)")
	require.NoError(t, err)
	require.NoError(t, w.tab.Click("#older"))
	w.await("location.search.startsWith('?page=')")
	w.fine("an earlier page")
}
