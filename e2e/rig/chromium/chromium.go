// Package chromium drives a real Chromium, headless: pages are opened, read,
// clicked and photographed as a person's browser would have them.
package chromium

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// limit is how long a step may take, on a machine that is busy.
const limit = 3 * time.Minute

// Browser is one process of Chromium.
type Browser struct {
	ctx  context.Context // of the process; Close ends it
	stop []context.CancelFunc
}

// Open starts Chromium ($CHROMIUM, or the one that Debian's package installs).
func Open(ctx context.Context) (*Browser, error) {
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("lang", "en-US"))
	if path := os.Getenv("CHROMIUM"); path != "" {
		options = append(options, chromedp.ExecPath(path))
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // its sandbox does not work for root
	}
	b := &Browser{}
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	b.stop = append(b.stop, stop)
	b.ctx, stop = chromedp.NewContext(ctx)
	b.stop = append(b.stop, stop)
	if err := chromedp.Do(b.ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("chromium did not start: %w; tools/need.sh chromium installs it", err)
	}
	return b, nil
}

// Close ends the process.
func (b *Browser) Close() {
	for i := len(b.stop) - 1; i >= 0; i-- {
		b.stop[i]()
	}
}

// Tab is one page with cookies of its own.
type Tab struct {
	ctx  context.Context // of the tab; Close ends it
	stop context.CancelFunc

	mu     sync.Mutex
	faults []string
}

// Tab opens one. script says whether pages may run scripts in it.
func (b *Browser) Tab(script bool) (*Tab, error) {
	t := &Tab{}
	t.ctx, t.stop = chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	if err := chromedp.Listen(t.ctx, t.listen); err != nil {
		t.stop()
		return nil, err
	}
	err := t.call(func(ctx context.Context) error {
		if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !script})
		return err
	})
	return t, err
}

// Close closes the tab and forgets its cookies.
func (t *Tab) Close() { t.stop() }

// listen notes what no page of ours may do: open a dialog, break a policy, fail in its script.
func (t *Tab) listen(event any) {
	switch e := event.(type) {
	case *page.EventJavascriptDialogOpening:
		t.note("a dialog: " + e.Message)
		go func() { // it would hold everything else
			_, _ = chromedp.Call(t.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
		}()
	case *runtime.EventExceptionThrown:
		t.note("an exception: " + e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		// Containers' networks come and go on the machine, and Chromium breaks its
		// connections off at that. The pages connect again.
		if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "net::ERR_NETWORK_CHANGED") {
			t.note("the log: " + e.Entry.Text + " " + e.Entry.URL)
		}
	}
}

func (t *Tab) note(fault string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, fault)
}

// Faults are the dialogs, errors of scripts and breaches of the pages' policy
// that there were since the last call.
func (t *Tab) Faults() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	faults := t.faults
	t.faults = nil
	return faults
}

func (t *Tab) call(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(t.ctx, limit)
	defer cancel()
	return f(ctx)
}

func (t *Tab) do(steps ...chromedp.Action[chromedp.Void]) error {
	return t.call(func(ctx context.Context) error { return chromedp.Do(ctx, steps...) })
}

// Go opens an address, and returns once the page is loaded.
func (t *Tab) Go(address string) error { return t.do(chromedp.Navigate(address)) }

// Click clicks on the first element that a CSS selector finds.
func (t *Tab) Click(selector string) error { return t.do(chromedp.Click(chromedp.CSS(selector))) }

// Type types into a field, behind what is there.
func (t *Tab) Type(selector, text string) error {
	return t.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Press presses keys wherever the focus is.
func (t *Tab) Press(keys string) error { return t.do(chromedp.KeyEvent(keys)) }

// Visible waits until an element is seen.
func (t *Tab) Visible(selector string) error {
	return t.do(chromedp.WaitVisible(chromedp.CSS(selector)))
}

// Text is what a person reads in an element.
func (t *Tab) Text(selector string) (text string, err error) {
	err = t.call(func(ctx context.Context) error {
		text, err = chromedp.Run(ctx, chromedp.Text(chromedp.CSS(selector)))
		return err
	})
	return text, err
}

// Location is the address of the page.
func (t *Tab) Location() (at string, err error) {
	err = t.call(func(ctx context.Context) error {
		at, err = chromedp.Run(ctx, chromedp.Location())
		return err
	})
	return at, err
}

// Eval evaluates an expression in the page; it works where pages run no scripts, too.
func Eval[T any](t *Tab, expression string) (v T, err error) {
	err = t.call(func(ctx context.Context) error {
		v, err = chromedp.Run(ctx, chromedp.Evaluate[T](expression))
		return err
	})
	return v, err
}

// Await waits until an expression is true in the page, through reloads of it.
func (t *Tab) Await(expression string) error {
	return t.call(func(ctx context.Context) error {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
			if ok && err == nil {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return errors.Join(fmt.Errorf("%s did not come true", expression), err, ctx.Err())
			}
		}
	})
}

// Look makes the window so large, in pixels of CSS, and dark or light.
func (t *Tab) Look(width, height int64, dark bool) error {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return t.call(func(ctx context.Context) error {
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return err
	})
}

// Picture is what the window shows, as PNG.
func (t *Tab) Picture() (png []byte, err error) {
	err = t.call(func(ctx context.Context) error {
		png, err = chromedp.Run(ctx, chromedp.CaptureScreenshot())
		return err
	})
	return png, err
}
