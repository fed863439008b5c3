package rig

import (
	"errors"
	"net"
	"sync"
)

// Proxy stands between a client and a server on TCP, and does what networks
// do: it hangs, cuts, and loses answers. It carries bytes and knows no protocol.
type Proxy struct {
	Addr string // HOST:PORT that clients use instead of the server's

	listener net.Listener
	dial     func() (net.Conn, error)
	sent     func(data []byte) Fate
	served   sync.WaitGroup

	mu    sync.Mutex
	pause sync.Cond
	hung  bool
	ended bool
	conns map[net.Conn]bool
}

// Fate is what becomes of a piece that a client sent.
type Fate int

// The fates of a piece.
const (
	Pass        Fate = iota
	CutBefore        // the server never gets it, and the connection is gone
	CutAnswer        // the server gets it; the connection is gone once it has answered
	cutAtAnswer      // what is sent back next ends the connection
)

// NewProxy listens on host (any port) and dials network and address, as
// net.Dial has them, for each connection. sent, unless nil, is asked about each
// piece of bytes that a client sends; pieces are cut as the network cuts them.
func NewProxy(host, network, address string, sent func(data []byte) Fate) (*Proxy, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	if sent == nil {
		sent = func([]byte) Fate { return Pass }
	}
	p := &Proxy{
		Addr: l.Addr().String(), listener: l, sent: sent, conns: map[net.Conn]bool{},
		dial: func() (net.Conn, error) { return net.Dial(network, address) },
	}
	p.pause.L = &p.mu
	p.served.Go(p.serve)
	return p, nil
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.served.Go(func() { p.join(client) })
	}
}

// join carries one connection until either side ends it.
func (p *Proxy) join(client net.Conn) {
	defer client.Close()
	server, err := p.dial()
	if err != nil {
		return
	}
	defer server.Close()
	if !p.keep(client, server) {
		return
	}
	defer p.forget(client, server)
	var fate struct {
		sync.Mutex
		next Fate
	}
	over := make(chan struct{}, 2)
	carry := func(from, to net.Conn, judge func([]byte) Fate) {
		defer func() { over <- struct{}{} }()
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				p.wait()
				switch judge(buf[:n]) {
				case CutBefore, cutAtAnswer:
					return
				}
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	p.served.Go(func() {
		carry(client, server, func(b []byte) Fate {
			f := p.sent(b)
			if f == CutAnswer {
				fate.Lock()
				fate.next = cutAtAnswer
				fate.Unlock()
			}
			return f
		})
	})
	p.served.Go(func() {
		carry(server, client, func([]byte) Fate {
			fate.Lock()
			defer fate.Unlock()
			return fate.next
		})
	})
	<-over
	_ = client.Close()
	_ = server.Close()
	<-over
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
	return !p.ended
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.conns, c)
	}
}

// wait holds a piece back while the proxy hangs.
func (p *Proxy) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.hung && !p.ended {
		p.pause.Wait()
	}
}

// Hang lets nothing pass any more, as a network does that drops packets: no
// connection ends, and no byte arrives. Flow lets all go on.
func (p *Proxy) Hang() { p.set(true) }

// Flow ends a Hang; what was held back arrives.
func (p *Proxy) Flow() { p.set(false) }

func (p *Proxy) set(hung bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hung = hung
	p.pause.Broadcast()
}

// Cut ends all connections. New ones are welcome.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.ended = true
	p.pause.Broadcast()
	p.mu.Unlock()
	err := p.listener.Close()
	p.Cut()
	p.served.Wait()
	return err
}
