package docker

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"
)

// DefaultImageBudget is how many bytes of images an agent keeps, unless told otherwise.
const DefaultImageBudget = 20 << 30

// keeper remembers the images that this agent has pulled or built, and when
// each was last used: an engine records neither. It owns its file. An image
// that was there before, or that somebody else made, is not in it and never removed.
type keeper struct {
	path   string // "" keeps nothing over a restart
	log    *slog.Logger
	budget int64

	mu    sync.Mutex
	state keptState
	held  map[string]int // images that runs use, by id
	busy  bool           // a removal is under way
}

// keptState is the file.
type keptState struct {
	// Secret makes the names that jobs must not guess.
	Secret string                `json:"secret"`
	Images map[string]*keptImage `json:"images"` // by reference
}

// keptImage is one image.
type keptImage struct {
	ID     string    `json:"id"`
	Used   time.Time `json:"used"`
	Size   int64     `json:"size"`
	Layers []string  `json:"layers,omitempty"`
}

// newKeeper reads what an earlier life has written. A file that can't be read
// is begun anew: what it knew is then nobody's, and stays.
func newKeeper(dir string, budget int64, log *slog.Logger) *keeper {
	k := &keeper{log: log, budget: cmp.Or(budget, DefaultImageBudget), held: map[string]int{}}
	if dir != "" {
		k.path = filepath.Join(dir, "images.json")
		text, err := os.ReadFile(k.path)
		if err == nil {
			err = json.Unmarshal(text, &k.state)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			log.Warn("the list of this agent's images can't be read and begins anew; the images that it named stay until they are removed by hand", "file", k.path, "err", err)
			k.state = keptState{}
		}
	}
	if k.state.Images == nil {
		k.state.Images = map[string]*keptImage{}
	}
	if k.state.Secret == "" {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		k.state.Secret = hex.EncodeToString(b[:])
	}
	return k
}

func (k *keeper) secret() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Secret
}

// add makes an image this agent's.
func (k *keeper) add(ref string, im keptImage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	im.Used = time.Now().UTC()
	k.state.Images[ref] = &im
	k.save()
}

// touch marks an image as just used, if it is this agent's.
func (k *keeper) touch(ref string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if im := k.state.Images[ref]; im != nil {
		im.Used = time.Now().UTC()
		k.save()
	}
}

func (k *keeper) forget(ref string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.state.Images, ref)
	k.save()
}

// hold keeps an image from being removed until release.
func (k *keeper) hold(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[id]++
}

func (k *keeper) release(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[id]--; k.held[id] <= 0 {
		delete(k.held, id)
	}
}

// save writes the file. mu is held. A failure costs disk space, no run.
func (k *keeper) save() {
	if k.path == "" {
		return
	}
	text, err := json.Marshal(k.state)
	if err == nil {
		err = os.WriteFile(k.path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(k.path+".new", k.path)
	}
	if err != nil {
		k.log.Warn("the list of this agent's images can't be written; after a restart some of them will not be removed", "file", k.path, "err", err)
	}
}

// excess returns the references to remove so that the rest is within the
// budget: those least recently used, and none that is in use.
func (k *keeper) excess() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	refs := make([]string, 0, len(k.state.Images))
	var total int64
	for ref := range k.state.Images {
		refs = append(refs, ref)
		total += k.own(ref)
	}
	slices.SortFunc(refs, func(a, b string) int {
		return cmp.Or(k.state.Images[a].Used.Compare(k.state.Images[b].Used), strings.Compare(a, b))
	})
	var out []string
	for _, ref := range refs {
		if total <= k.budget {
			break
		}
		if k.held[k.state.Images[ref].ID] == 0 {
			total -= k.own(ref)
			out = append(out, ref)
		}
	}
	return out
}

// own is how much of an image no other of ours has: without the layers of the
// one that it was built on. mu is held.
func (k *keeper) own(ref string) int64 {
	im := k.state.Images[ref]
	var base int64
	for _, other := range k.state.Images {
		if n := len(other.Layers); n > 0 && n < len(im.Layers) && slices.Equal(other.Layers, im.Layers[:n]) {
			base = max(base, other.Size)
		}
	}
	return max(0, im.Size-base)
}

// begin says whether the caller may remove; one does at a time.
func (k *keeper) begin() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.busy
	k.busy = true
	return !was
}

func (k *keeper) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.busy = false
}

// hold keeps an image for as long as the run.
func (b *box) hold(id string) {
	b.d.keeper.hold(id)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = append(b.held, id)
}

func (b *box) releaseImages() {
	b.mu.Lock()
	held := b.held
	b.held = nil
	b.mu.Unlock()
	for _, id := range held {
		b.d.keeper.release(id)
	}
}

// keep makes a new image this agent's, and beside makes room for it.
func (b *box) keep(ctx context.Context, ref string, im image) {
	b.d.keeper.add(ref, keptImage{ID: im.id, Size: im.size, Layers: im.layers})
	ctx = context.WithoutCancel(ctx)
	b.beside.Go(func() { b.d.makeRoom(ctx) })
}

// makeRoom removes what is over the budget. An image that a container uses is
// not removed by the engine; it stays ours, for the next time.
func (d *Driver) makeRoom(ctx context.Context) {
	if !d.keeper.begin() {
		return
	}
	defer d.keeper.end()
	for _, ref := range d.keeper.excess() {
		if err := d.removeImage(ctx, ref); err != nil {
			d.log.Info("an image over the budget can't be removed yet", "image", ref, "err", err)
			continue
		}
		d.keeper.forget(ref)
		d.log.Info("removed an image that nobody has used for the longest time", "image", ref)
	}
}

// removeImage takes away a reference, and the image once it has no other.
func (d *Driver) removeImage(ctx context.Context, ref string) error {
	ctx, cancel := making(ctx)
	defer cancel()
	_, err := d.api.ImageRemove(ctx, ref, dockerimage.RemoveOptions{PruneChildren: true})
	if notFound(err) {
		return nil
	}
	return err
}

// adopt finds built images that the list has lost: their tags say whose they are.
func (d *Driver) adopt(ctx context.Context) {
	ctx, cancel := asking(ctx)
	defer cancel()
	list, err := d.api.ImageList(ctx, dockerimage.ListOptions{Filters: filters.NewArgs(filters.Arg("reference", buildName+":"+d.short()+"-*"))})
	if err != nil {
		return // the next start tries again
	}
	for _, im := range list {
		for _, tag := range im.RepoTags {
			if strings.HasPrefix(tag, buildName+":"+d.short()+"-") && !d.keeper.has(tag) {
				d.keeper.add(tag, keptImage{ID: im.ID, Size: im.Size})
			}
		}
	}
}

func (k *keeper) has(ref string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Images[ref] != nil
}
