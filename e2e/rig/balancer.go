package rig

import (
	"errors"
	"io"
	"net"
	"sync"
)

// Balancer is what stands before several cids: it hands each connection on to
// the one that it points at.
type Balancer struct {
	Addr string

	listener net.Listener
	mu       sync.Mutex
	target   string
	open     map[net.Conn]bool
	conns    sync.WaitGroup
}

// NewBalancer begins to listen. It points at nothing.
func NewBalancer() (*Balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &Balancer{Addr: l.Addr().String(), listener: l, open: map[net.Conn]bool{}}
	b.conns.Go(b.accept)
	return b, nil
}

// Turn sends new connections to addr. Those that are open go on until either
// side ends them, as when a load balancer takes a server out of its list.
func (b *Balancer) Turn(addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.target = addr
}

// Point sends new connections to addr, and cuts those that are open.
func (b *Balancer) Point(addr string) {
	b.Turn(addr)
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.open {
		_ = c.Close() // its copier ends and forgets it
	}
}

// Close cuts everything and waits for it.
func (b *Balancer) Close() error {
	err := b.listener.Close()
	b.Point("")
	b.conns.Wait()
	return err
}

func (b *Balancer) accept() {
	for {
		c, err := b.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			b.conns.Go(func() { b.serve(c) })
		}
	}
}

// serve copies both ways until one side ends.
func (b *Balancer) serve(front net.Conn) {
	defer front.Close()
	b.mu.Lock()
	target := b.target
	b.mu.Unlock()
	if target == "" {
		return
	}
	back, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer back.Close()
	b.keep(front, back, true)
	defer b.keep(front, back, false)
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{front, back}, {back, front}} {
		ways.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // however it ends, both ends are closed
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	ways.Wait()
}

func (b *Balancer) keep(front, back net.Conn, open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range []net.Conn{front, back} {
		if open {
			b.open[c] = true
		} else {
			delete(b.open, c)
		}
	}
}
