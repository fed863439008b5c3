// Command pages makes the pictures of the web pages: a cid of its own with
// Docker, a morning of runs, and a real Chromium that looks at all of it, in
// light, in dark, and as wide as a phone.
//
//	go run ./tools/screens/pages [-bin bin] FOLDER
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"os"
	"os/signal"
	"path/filepath"

	"ci/e2e/rig"
	"ci/e2e/rig/chromium"
)

// look is a window and its ground.
type look struct {
	name          string
	width, height int64
	dark          bool
}

var looks = []look{{"light", 1120, 760, false}, {"dark", 1120, 760, true}, {"phone", 390, 780, true}}

// shot is a picture: a page, and what is true in it once it is ready.
type shot struct{ name, path, ready string }

func shots(m *morning) []shot {
	const live = "document.querySelector('#live-text').textContent === 'live' && !document.querySelector('#live').hidden"
	failed := fmt.Sprintf("/ui/jobs/unit-test/runs/%d", m.failed)
	return []shot{
		{"dashboard", "/ui/", live},
		{"jobs", "/ui/jobs", "true"},
		{"job", "/ui/jobs/unit-test", "true"},
		{"run", failed, "true"},
		{"console", fmt.Sprintf("/ui/jobs/nightly/runs/%d", m.running), "document.querySelectorAll('.r').length > 30"},
		{"tests", failed + "/tests/junit", "true"},
		{"history", "/ui/jobs/unit-test/tests", "true"},
		{"pipelines", "/ui/pipelines", live},
		{"pipeline-start", "/ui/pipelines/ship", live},
		{"pipeline", "/ui/pipelines/ship/runs/1", "document.querySelector('.ask')"},
		{"queue", "/ui/queue", "true"},
		{"agents", "/ui/agents", "true"},
		{"tokens", "/ui/tokens", "true"},
		{"settings", "/ui/settings", "true"},
		{"keep", "/ui/settings#keep", "true"},
		{"job-settings", "/ui/jobs/unit-test/settings", "true"},
	}
}

func main() {
	bin := flag.String("bin", "bin", "folder with ci and cid")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: pages [-bin bin] FOLDER")
		os.Exit(2)
	}
	if err := photograph(ctx, *bin, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "pages:", err)
		os.Exit(1)
	}
}

func photograph(ctx context.Context, bin, folder string) (err error) {
	if bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "ci-pages-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	cid, err := rig.NewCid(rig.Binaries(bin), filepath.Join(work, "data"), os.Environ())
	if err != nil {
		return err
	}
	if err := cid.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cid.End(context.WithoutCancel(ctx))) }()
	m, err := live(ctx, cid.Client())
	defer func() { err = errors.Join(err, m.end(context.WithoutCancel(ctx), cid.Client())) }() // what goes on would keep cid from stopping
	if err != nil {
		return err
	}
	door, err := withProvider(ctx, bin, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, door.End(context.WithoutCancel(ctx))) }()
	browser, err := chromium.Open(ctx)
	if err != nil {
		return err
	}
	defer browser.Close()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, l := range looks {
		if err := errors.Join(l.take(browser, cid, shots(m), folder), l.enter(browser, door, folder)); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

// withProvider starts a cid that people sign in to by somebody else, too. It is for the picture of its door alone.
func withProvider(ctx context.Context, bin, work string) (*rig.Cid, error) {
	cid, err := rig.NewCid(rig.Binaries(bin), filepath.Join(work, "door"), os.Environ(), "--agent", "off",
		"--oidc-issuer", "https://id.example.com/realms/work", "--oidc-title", "Keycloak", "--oidc-client-id", "ci", "--oidc-roles", "read:domain=example.com")
	if err != nil {
		return nil, err
	}
	return cid, cid.Start(ctx)
}

// enter takes the picture of a door with a provider.
func (l look) enter(browser *chromium.Browser, cid *rig.Cid, folder string) error {
	tab, err := browser.Tab(true)
	if err != nil {
		return err
	}
	defer tab.Close()
	answer := "/ui/sign-in/oidc/callback?state=paste-KJ3F7QABZ2XW5MTN4RGD6VSHCP&code=8f1c0c5e.2b7d41f0-93aa-4d0e.5d6e1b52-3c1f&iss=https%3A%2F%2Fid.example.com%2Frealms%2Fwork"
	return errors.Join(
		tab.Look(l.width, l.height, l.dark), tab.Go(cid.URL+"/ui/"), tab.Await("document.querySelector('.providers a')"), l.save(tab, folder, "sign-in-provider"),
		tab.Go(cid.URL+answer), tab.Await("document.querySelector('#answer')"), l.save(tab, folder, "sign-in-terminal"),
	)
}

// take signs in and takes all pictures of a look.
func (l look) take(browser *chromium.Browser, cid *rig.Cid, shots []shot, folder string) error {
	tab, err := browser.Tab(true)
	if err != nil {
		return err
	}
	defer tab.Close()
	if err := tab.Look(l.width, l.height, l.dark); err != nil {
		return err
	}
	if err := tab.Go(cid.URL + "/ui/"); err != nil {
		return err
	}
	if err := l.save(tab, folder, "sign-in"); err != nil {
		return err
	}
	if err := tab.Type("#token", cid.Token+"\r"); err != nil {
		return err
	}
	if err := tab.Await("document.querySelector('.who')"); err != nil {
		return err
	}
	for _, s := range shots {
		if err := errors.Join(tab.Go(cid.URL+s.path), tab.Await(s.ready), l.save(tab, folder, s.name)); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		wide, err := chromium.Eval[bool](tab, "document.documentElement.scrollWidth > innerWidth")
		if err != nil {
			return err
		}
		if faults := tab.Faults(); wide || len(faults) > 0 {
			return fmt.Errorf("%s: wider than its window: %t; faults: %v", s.name, wide, faults)
		}
	}
	return nil
}

func (l look) save(tab *chromium.Tab, folder, name string) error {
	picture, err := tab.Picture()
	if err != nil {
		return err
	}
	full, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, reduced(full)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name+"-"+l.name+".png"), b.Bytes(), 0o644)
}
